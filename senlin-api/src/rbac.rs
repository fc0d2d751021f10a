//! Who may do what: Senlin's rule names, in oslo.policy's language.

use std::{collections::BTreeMap, path::Path};

use senlin_core::caller::Caller;
use yaml_rust2::{Yaml, YamlLoader};

use crate::operations::OPERATIONS;

mod rule;

use rule::Rule;

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RbacError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    /// It is not YAML of the right form.
    #[error("{0}")]
    Form(String),
    /// A rule cannot be understood.
    #[error("rule '{name}': {why}")]
    Rule {
        /// Which.
        name: String,
        /// Where in it, and what.
        why: String,
    },
}

/// Rules that others build on.
const BASE: [(&str, &str); 4] = [
    ("context_is_admin", "role:admin"),
    ("deny_everybody", "!"),
    ("reader", "role:reader or role:member or rule:context_is_admin"),
    ("writer", "role:member or rule:context_is_admin"),
];

/// Rules of Senlin's that no operation of ours asks for by itself.
const OTHERS: [(&str, &str); 7] = [
    ("versions:show", "@"),
    // Who it acts for must still be let in by `clusters:action`.
    ("webhooks:trigger", "@"),
    ("actions:create", "rule:deny_everybody"),
    ("cluster_policies:attach", "rule:writer"),
    ("cluster_policies:detach", "rule:writer"),
    ("cluster_policies:update", "rule:writer"),
    ("receivers:notify", "rule:writer"),
];

/// The rules in force.
#[derive(Debug)]
pub struct Rbac {
    rules: BTreeMap<String, (String, Rule)>,
}

/// The rules as they are without a file.
fn defaults() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for operation in OPERATIONS.iter().filter(|o| !o.rule.is_empty()) {
        let default = match (operation.rule, operation.method) {
            ("services:index" | "unaccounted_containers:index" | "unaccounted_containers:action", _) => {
                "rule:context_is_admin"
            }
            (_, "get") | ("clusters:plan", _) => "rule:reader",
            _ => "rule:writer",
        };
        all.insert(operation.rule.to_owned(), default.to_owned());
    }
    for (name, text) in BASE.into_iter().chain(OTHERS) {
        all.insert(name.to_owned(), text.to_owned());
    }
    all
}

impl Rbac {
    /// The defaults, under what `file` says (YAML or JSON: rule name → rule).
    ///
    /// # Errors
    /// Names the rule and the place in it.
    pub fn load(file: Option<&Path>) -> Result<Self, RbacError> {
        match file {
            Some(path) => Self::parse(&std::fs::read_to_string(path)?),
            None => Self::parse(""),
        }
    }

    /// The rules that the settings ask for, defaults without a file.
    ///
    /// # Errors
    /// Names the file, the rule and the place in it.
    pub fn from_settings(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::load(file).map_err(|e| {
            let name = file.map(|f| f.display().to_string()).unwrap_or_default();
            anyhow::Error::new(e).context(format!("use the policy file '{name}'"))
        })
    }

    /// The same from the text of such a file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, RbacError> {
        let mut texts = defaults();
        for (name, own) in read(text)? {
            texts.insert(name, own);
        }
        let mut rules = BTreeMap::new();
        for (name, text) in texts {
            let rule = Rule::parse(&text).map_err(|why| RbacError::Rule {
                name: name.clone(),
                why,
            })?;
            rules.insert(name, (text, rule));
        }
        let rbac = Self { rules };
        for name in rbac.rules.keys() {
            rbac.follow(name, &mut Vec::new())?;
        }
        Ok(rbac)
    }

    /// Every reference leads to a rule, and never back.
    fn follow<'a>(&'a self, name: &'a str, path: &mut Vec<&'a str>) -> Result<(), RbacError> {
        let wrong = |why: String| {
            Err(RbacError::Rule {
                name: path.first().copied().unwrap_or(name).to_owned(),
                why,
            })
        };
        if path.contains(&name) {
            return wrong(format!("it refers to itself through '{name}'"));
        }
        let Some((_, rule)) = self.rules.get(name) else {
            return wrong(format!("it refers to rule '{name}', which does not exist"));
        };
        path.push(name);
        for next in rule.references() {
            self.follow(next, path)?;
        }
        path.pop();
        Ok(())
    }

    /// Whether the caller may do what the rule is about.
    #[must_use]
    pub fn allows(&self, name: &str, caller: &Caller) -> bool {
        // A rule that nobody wrote lets nobody in.
        self.rules
            .get(name)
            .is_some_and(|(_, rule)| rule.holds(caller, &|reference| self.allows(reference, caller)))
    }

    /// Whether the caller counts as an admin.
    #[must_use]
    pub fn is_admin(&self, caller: &Caller) -> bool {
        self.allows("context_is_admin", caller)
    }

    /// What is in force, as a policy file.
    #[must_use]
    pub fn show(&self) -> String {
        self.rules
            .iter()
            .map(|(name, (text, _))| format!("\"{name}\": \"{}\"\n", text.replace('"', "\\\"")))
            .collect()
    }
}

/// Rule names and texts of a file.
fn read(text: &str) -> Result<Vec<(String, String)>, RbacError> {
    let form = |what: String| RbacError::Form(what);
    let documents = YamlLoader::load_from_str(text).map_err(|e| form(e.to_string()))?;
    let Some(Yaml::Hash(map)) = documents.into_iter().next().filter(|d| !matches!(d, Yaml::Null)) else {
        return if text
            .lines()
            .all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'))
        {
            Ok(Vec::new())
        } else {
            Err(form("it is not a map of rule names to rules".to_owned()))
        };
    };
    let mut rules = Vec::new();
    for (key, value) in map {
        let name = key
            .into_string()
            .ok_or_else(|| form("a rule's name must be text".to_owned()))?;
        let text = text_of(&value).ok_or_else(|| RbacError::Rule {
            name: name.clone(),
            why: "it must be text, or a list of lists of checks".to_owned(),
        })?;
        rules.push((name, text));
    }
    Ok(rules)
}

/// A text, or the old form: any of these lists, all of the checks in it.
fn text_of(value: &Yaml) -> Option<String> {
    let any = match value {
        Yaml::String(text) => return Some(text.clone()),
        Yaml::Array(any) if any.is_empty() => return Some("@".to_owned()),
        Yaml::Array(any) => any,
        _ => return None,
    };
    let alternatives: Option<Vec<String>> = any
        .iter()
        .map(|all| match all {
            Yaml::String(check) => Some(check.clone()),
            Yaml::Array(all) => {
                let checks: Option<Vec<&str>> = all.iter().map(Yaml::as_str).collect();
                Some(format!("({})", checks?.join(" and ")))
            }
            _ => None,
        })
        .collect();
    Some(alternatives?.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn caller(roles: &[&str]) -> Caller {
        Caller {
            user: "u1".to_owned(),
            project: "p1".to_owned(),
            domain: None,
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            is_admin: false,
            request_id: String::new(),
        }
    }

    #[test]
    fn defaults_let_readers_read_and_members_write() {
        let rbac = Rbac::parse("").unwrap();
        for (roles, read, write, services) in [
            (&[][..], false, false, false),
            (&["reader"], true, false, false),
            (&["member"], true, true, false),
            (&["admin"], true, true, true),
            (&["Member"], true, true, false),
            (&["operator"], false, false, false),
        ] {
            let caller = caller(roles);
            assert_eq!(rbac.allows("clusters:get", &caller), read, "{roles:?}");
            assert_eq!(rbac.allows("clusters:create", &caller), write, "{roles:?}");
            assert_eq!(rbac.allows("services:index", &caller), services, "{roles:?}");
            assert!(!rbac.allows("actions:create", &caller), "{roles:?}");
            assert!(!rbac.allows("no:such", &caller));
        }
    }

    #[test]
    fn a_file_goes_before_the_defaults() {
        let text = "# ours\n\"clusters:create\": \"role:creator\"\n\"context_is_admin\": \"role:boss\"\n\
            'profiles:index': ''\n\"nodes:get\": [[\"role:a\", \"role:b\"], [\"role:c\"]]\n\
            \"nodes:index\": \"project_id:%(project_id)s and not role:guest\"\n";
        let rbac = Rbac::parse(text).unwrap();
        assert!(rbac.allows("clusters:create", &caller(&["creator"])));
        assert!(!rbac.allows("clusters:create", &caller(&["member"])));
        assert!(rbac.is_admin(&caller(&["boss"])) && !rbac.is_admin(&caller(&["admin"])));
        assert!(rbac.allows("profiles:index", &caller(&[])));
        assert!(rbac.allows("nodes:get", &caller(&["a", "b"])) && rbac.allows("nodes:get", &caller(&["c"])));
        assert!(!rbac.allows("nodes:get", &caller(&["a"])));
        assert!(rbac.allows("nodes:index", &caller(&["x"])) && !rbac.allows("nodes:index", &caller(&["guest"])));
        let shown = rbac.show();
        assert!(shown.contains("\"clusters:create\": \"role:creator\""), "{shown}");
        let again = Rbac::parse(&shown).unwrap();
        assert_eq!(again.show(), shown, "what is shown can be loaded");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, parts) in [
            ("\"a\": \"http://example.test\"", &["rule 'a'", "'http:"][..]),
            ("\"a\": \"role:x and\"", &["rule 'a'", "ends"]),
            ("\"a\": \"role:x role:y\"", &["rule 'a'", "word 2"]),
            ("\"a\": \"(role:x\"", &["rule 'a'", "')'"]),
            ("\"a\": \"rule:b\"", &["rule 'a'", "'b'", "does not exist"]),
            ("\"a\": \"rule:b\"\n\"b\": \"rule:a\"", &["itself"]),
            ("\"a\": 7", &["rule 'a'", "text"]),
            ("- x", &["map"]),
            ("\"a\": [", &[]),
        ] {
            let error = Rbac::parse(text).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }
}
