//! What was found, as tables, and whether it is all right.

/// Findings in order.
#[derive(Default)]
pub(crate) struct Report {
    verdicts: Vec<(String, String, bool)>,
    notes: Vec<String>,
}

impl Report {
    /// One thing that must be right.
    pub(crate) fn add(&mut self, what: &str, seen: &str, right: bool) {
        self.verdicts.push((what.to_owned(), seen.to_owned(), right));
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    /// A table among the notes.
    pub(crate) fn table(&mut self, head: &[&str], lines: Vec<Vec<String>>) {
        if !lines.is_empty() {
            let head = head.iter().map(|h| (*h).to_owned()).collect();
            self.notes.push(rendered(head, lines));
        }
    }

    /// Prints everything; true when all is right.
    pub(crate) fn print(self) -> bool {
        for note in &self.notes {
            println!("{note}");
        }
        let right = self.verdicts.iter().all(|(.., right)| *right);
        let lines = self.verdicts.into_iter().map(|(what, seen, right)| {
            let verdict = if right { "right" } else { "WRONG" };
            vec![what, seen, verdict.to_owned()]
        });
        let head = ["what", "seen", "verdict"].map(str::to_owned).to_vec();
        println!("\n{}", rendered(head, lines.collect()));
        right
    }
}

fn rendered(head: Vec<String>, lines: Vec<Vec<String>>) -> String {
    let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rule = widths.iter().map(|w| "-".repeat(*w)).collect();
    let row = |cells: Vec<String>| {
        let padded = cells.into_iter().zip(&widths).map(|(c, w)| format!("{c:w$}"));
        format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
    };
    let all = [head, rule].into_iter().chain(lines).map(row);
    all.collect::<Vec<_>>().join("\n")
}
