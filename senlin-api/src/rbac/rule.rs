//! One rule: checks joined by and, or, not and parentheses.

use senlin_core::caller::Caller;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Always,
    Never,
    Not(Box<Rule>),
    All(Vec<Rule>),
    Any(Vec<Rule>),
    /// Another rule of that name.
    Other(String),
    /// The caller has that role.
    Role(String),
    /// A fact about the caller is this text.
    Is(Fact, Wanted),
}

/// What is known of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    User,
    Project,
    Domain,
    IsAdmin,
}

/// What a fact is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Text(String),
    /// Of what is acted on: always of the caller's own project, for every query carries it.
    Target(Fact),
}

fn fact(name: &str) -> Option<Fact> {
    Some(match name {
        "user_id" | "user" => Fact::User,
        "project_id" | "project" | "tenant_id" | "tenant" => Fact::Project,
        "domain_id" | "domain" => Fact::Domain,
        "is_admin" => Fact::IsAdmin,
        _ => return None,
    })
}

impl Rule {
    /// Understands a rule. Errors say which word is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words = words(text);
        if words.is_empty() {
            return Ok(Self::Always);
        }
        let mut reader = Reader { words: &words, at: 0 };
        let rule = reader.any()?;
        match reader.peek() {
            None => Ok(rule),
            Some(word) => Err(format!("word {} '{word}' is not expected", reader.at + 1)),
        }
    }

    /// Rules that it refers to.
    pub(super) fn references(&self) -> Vec<&str> {
        match self {
            Self::Other(name) => vec![name],
            Self::Not(inner) => inner.references(),
            Self::All(list) | Self::Any(list) => list.iter().flat_map(Self::references).collect(),
            Self::Always | Self::Never | Self::Role(_) | Self::Is(..) => Vec::new(),
        }
    }

    /// Whether it holds for the caller; `other` answers for other rules.
    pub(super) fn holds(&self, caller: &Caller, other: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Not(inner) => !inner.holds(caller, other),
            Self::All(list) => list.iter().all(|r| r.holds(caller, other)),
            Self::Any(list) => list.iter().any(|r| r.holds(caller, other)),
            Self::Other(name) => other(name),
            Self::Role(name) => caller.roles.iter().any(|r| r.eq_ignore_ascii_case(name)),
            Self::Is(fact, Wanted::Text(text)) => value(*fact, caller).as_deref() == Some(text),
            Self::Is(fact, Wanted::Target(of)) => {
                let mine = value(*fact, caller);
                mine.is_some() && mine == value(*of, caller)
            }
        }
    }
}

fn value(fact: Fact, caller: &Caller) -> Option<String> {
    match fact {
        Fact::User => Some(caller.user.clone()),
        Fact::Project => Some(caller.project.clone()),
        Fact::Domain => caller.domain.clone(),
        Fact::IsAdmin => Some(if caller.is_admin { "True" } else { "False" }.to_owned()),
    }
}

/// Words, with parentheses as words of their own (but not those of `%(x)s`).
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let mut word = word;
        while let Some(rest) = word.strip_prefix('(') {
            out.push("(".to_owned());
            word = rest;
        }
        let mut closing = 0;
        while let Some(rest) = word.strip_suffix(')') {
            closing += 1;
            word = rest;
        }
        if !word.is_empty() {
            out.push(word.to_owned());
        }
        out.extend(std::iter::repeat_n(")".to_owned(), closing));
    }
    out
}

struct Reader<'a> {
    words: &'a [String],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|w| w.eq_ignore_ascii_case(word));
        if found {
            self.at += 1;
        }
        found
    }

    fn any(&mut self) -> Result<Rule, String> {
        let first = self.all()?;
        let mut list = vec![first];
        while self.take("or") {
            list.push(self.all()?);
        }
        Ok(single(list, Rule::Any))
    }

    fn all(&mut self) -> Result<Rule, String> {
        let first = self.one()?;
        let mut list = vec![first];
        while self.take("and") {
            list.push(self.one()?);
        }
        Ok(single(list, Rule::All))
    }

    fn one(&mut self) -> Result<Rule, String> {
        if self.take("not") {
            return Ok(Rule::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err(format!("a ')' is missing after word {}", self.at))
            };
        }
        let Some(word) = self.peek().map(str::to_owned) else {
            return Err("it ends where a check is expected".to_owned());
        };
        self.at += 1;
        check(&word).ok_or_else(|| format!("word {} '{word}' is not a check that is known here", self.at))
    }
}

fn single(mut list: Vec<Rule>, join: fn(Vec<Rule>) -> Rule) -> Rule {
    match list.pop() {
        Some(only) if list.is_empty() => only,
        Some(last) => {
            list.push(last);
            join(list)
        }
        None => Rule::Always,
    }
}

fn check(word: &str) -> Option<Rule> {
    match word {
        "@" => return Some(Rule::Always),
        "!" => return Some(Rule::Never),
        _ => {}
    }
    let (kind, wanted) = word.split_once(':')?;
    let wanted = wanted.trim_matches(['\'', '"']);
    match kind {
        "rule" => Some(Rule::Other(wanted.to_owned())),
        "role" => Some(Rule::Role(wanted.to_owned())),
        _ => {
            let fact = fact(kind)?;
            let target = wanted.strip_prefix("%(").and_then(|w| w.strip_suffix(")s"));
            let wanted = match target {
                Some(name) => Wanted::Target(super::rule::fact(name.strip_prefix("target.").unwrap_or(name))?),
                None => Wanted::Text(wanted.to_owned()),
            };
            Some(Rule::Is(fact, wanted))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, roles: &[&str]) -> bool {
        let caller = super::super::tests::caller(roles);
        Rule::parse(text).unwrap().holds(&caller, &|name| name == "yes")
    }

    #[test]
    fn and_binds_before_or_and_not_before_both() {
        for (text, roles, expected) in [
            ("", &[][..], true),
            ("@", &[], true),
            ("!", &["a"], false),
            ("not !", &[], true),
            ("role:a or role:b and role:c", &["a"], true),
            ("role:a or role:b and role:c", &["b"], false),
            ("(role:a or role:b) and role:c", &["a"], false),
            ("(role:a or role:b) and role:c", &["a", "c"], true),
            ("not role:a and role:b", &["b"], true),
            ("not (role:a and role:b)", &["a"], true),
            ("((role:a))", &["a"], true),
            ("rule:yes AND role:a", &["A"], true),
            ("rule:no or user_id:u1", &[], true),
            ("user_id:%(user_id)s", &[], true),
            ("project_id:p2", &[], false),
            ("(project_id:%(project_id)s)", &[], true),
            ("domain_id:%(domain_id)s", &[], false),
            ("is_admin:False", &[], true),
        ] {
            assert_eq!(holds(text, roles), expected, "{text} {roles:?}");
        }
    }
}
