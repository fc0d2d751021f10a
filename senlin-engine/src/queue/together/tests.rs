use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use senlin_core::secret::Secret;
use senlin_db::{Db, DbError, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Call, MAX_CALLS, Together};

/// What was asked of the statement, and how it answers.
#[derive(Clone)]
struct Question {
    number: usize,
    asked: Arc<Calls>,
}

struct Calls {
    statements: AtomicUsize,
    alone: AtomicUsize,
    /// Statements about many end when they get one of these.
    go_on: Semaphore,
    answer: fn(usize) -> Result<Option<usize>>,
}

impl Calls {
    fn new(go_on: usize, answer: fn(usize) -> Result<Option<usize>>) -> Arc<Self> {
        Arc::new(Self {
            statements: AtomicUsize::new(0),
            alone: AtomicUsize::new(0),
            go_on: Semaphore::new(go_on),
            answer,
        })
    }

    fn counts(&self) -> (usize, usize) {
        (
            self.statements.load(Ordering::Relaxed),
            self.alone.load(Ordering::Relaxed),
        )
    }
}

impl Call for Question {
    type Answer = usize;

    async fn alone(&self, _: &Db) -> Result<usize> {
        self.asked.alone.fetch_add(1, Ordering::Relaxed);
        Ok(self.number + 1000)
    }

    async fn all(_: &Db, calls: &[Self]) -> Result<Vec<Option<usize>>> {
        assert!((1..=MAX_CALLS).contains(&calls.len()));
        let asked = &calls[0].asked;
        asked.statements.fetch_add(1, Ordering::Relaxed);
        asked.go_on.acquire().await.unwrap().forget();
        calls.iter().map(|c| (asked.answer)(c.number)).collect()
    }
}

fn db() -> Db {
    Db::connect(&Secret::new("postgres://nobody@127.0.0.1:1/nothing".to_owned()), 1).unwrap()
}

/// One call that is being carried out, and `more` that gather meanwhile.
async fn ask(together: &Arc<Together<Question>>, asked: &Arc<Calls>, more: usize) -> tokio::task::JoinSet<usize> {
    let db = db();
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..=more {
        let (caller, db) = (together.clone(), db.clone());
        let call = Question {
            number,
            asked: asked.clone(),
        };
        callers.spawn(async move { caller.call(&db, call, &CancellationToken::new()).await.unwrap() });
        let held = asked.go_on.available_permits() == 0;
        while held && (together.gather().len() < number || asked.statements.load(Ordering::Relaxed) == 0) {
            tokio::task::yield_now().await;
        }
    }
    callers
}

#[tokio::test]
async fn who_comes_while_one_runs_is_in_the_next() {
    let (together, asked) = (Arc::default(), Calls::new(0, |n| Ok(Some(n))));
    let callers = ask(&together, &asked, 40).await;
    asked.go_on.add_permits(100);
    let mut answers = callers.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, (0..=40).collect::<Vec<_>>());
    assert_eq!(asked.counts(), (2, 0));
}

#[tokio::test]
async fn more_than_one_statement_takes_wait_for_another() {
    let (together, asked) = (Arc::default(), Calls::new(0, |n| Ok(Some(n))));
    let callers = ask(&together, &asked, 2 * MAX_CALLS + 1).await;
    asked.go_on.add_permits(100);
    assert_eq!(callers.join_all().await.len(), 2 * MAX_CALLS + 2);
    assert_eq!(asked.counts(), (4, 0));
}

#[tokio::test]
async fn what_is_left_out_or_fails_is_tried_alone() {
    let odd = |n: usize| Ok(n.is_multiple_of(2).then_some(n));
    let (together, asked) = (Arc::default(), Calls::new(100, odd));
    let mut answers = ask(&together, &asked, 5).await.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [0, 2, 4, 1001, 1003, 1005]);
    assert_eq!(asked.alone.load(Ordering::Relaxed), 3);

    let (together, asked) = (Arc::default(), Calls::new(100, |_| Err(DbError::LeaseLost)));
    let answers = ask(&together, &asked, 5).await.join_all().await;
    assert!(answers.iter().all(|n| *n >= 1000));
    assert_eq!(asked.alone.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn nobody_waits_for_one_that_goes_away() {
    let (together, asked) = (Arc::default(), Calls::new(0, |n| Ok(Some(n))));
    let mut callers = ask(&together, &asked, 10).await;
    // Whoever carries out goes, and so do all who had their call in.
    callers.abort_all();
    while callers.join_next().await.is_some() {}
    asked.go_on.add_permits(100);
    let answers = ask(&together, &asked, 0).await.join_all().await;
    assert_eq!(answers, [0]);
    assert_eq!(asked.counts(), (2, 0), "what nobody waits for is not carried out");
}

/// The calls 0 to `last`, the first of which is being carried out.
async fn each(
    together: &Arc<Together<Question>>,
    asked: &Arc<Calls>,
    last: usize,
    leave: &CancellationToken,
) -> Vec<tokio::task::JoinHandle<Result<usize>>> {
    let mut callers = Vec::new();
    for number in 0..=last {
        let (together, asked, leave, db) = (together.clone(), asked.clone(), leave.clone(), db());
        let (gathered, statements) = (together.clone(), asked.clone());
        let caller = async move { together.call(&db, Question { number, asked }, &leave).await };
        callers.push(tokio::spawn(caller));
        while gathered.gather().len() < number || statements.counts().0 == 0 {
            tokio::task::yield_now().await;
        }
    }
    callers
}

#[tokio::test]
async fn when_the_one_that_carries_out_goes_the_others_try_alone() {
    let (together, asked) = (Arc::default(), Calls::new(0, |n| Ok(Some(n))));
    let mut callers = each(&together, &asked, 3, &CancellationToken::new()).await;
    asked.go_on.add_permits(1);
    assert_eq!(callers.remove(0).await.unwrap().unwrap(), 0);
    while asked.counts().0 < 2 {
        tokio::task::yield_now().await;
    }
    // The next in turn carries out all three.
    let leader = callers.remove(0);
    leader.abort();
    leader.await.unwrap_err();
    for (caller, number) in callers.into_iter().zip(2..) {
        assert_eq!(caller.await.unwrap().unwrap(), number + 1000);
    }
    assert_eq!(asked.counts(), (2, 2));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_not_asked_again_by_each() {
    let hangs = |_| Err(DbError::Unavailable("it hangs".into()));
    let (together, asked) = (Arc::default(), Calls::new(0, hangs));
    let callers = each(&together, &asked, 3, &CancellationToken::new()).await;
    asked.go_on.add_permits(100);
    for caller in callers {
        let told = caller.await.unwrap();
        assert!(matches!(told, Err(DbError::Unavailable(_))), "{told:?}");
    }
    assert_eq!(asked.counts(), (2, 0));
}

#[tokio::test]
async fn who_waits_for_others_leaves_when_told_to() {
    let (together, asked) = (Arc::default(), Calls::new(0, |n| Ok(Some(n))));
    let leave = CancellationToken::new();
    let mut callers = each(&together, &asked, 3, &leave).await;
    leave.cancel();
    for caller in callers.drain(1..) {
        let told = caller.await.unwrap();
        assert!(matches!(told, Err(DbError::LeaseLost)), "{told:?}");
    }
    asked.go_on.add_permits(1);
    assert_eq!(callers.remove(0).await.unwrap().unwrap(), 0, "what was begun is done");
    assert_eq!(asked.counts(), (1, 0));
}
