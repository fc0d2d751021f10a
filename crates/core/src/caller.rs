//! Who is asking: what a token says.

/// The identity behind a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// User id.
    pub user: String,
    /// Project id: every query carries it.
    pub project: String,
    /// Domain id; none for project-scoped tokens.
    pub domain: Option<String>,
    /// Role names.
    pub roles: Vec<String>,
    /// Has the admin role.
    pub is_admin: bool,
    /// `req-<uuid>`: carried through bus, engine and log lines.
    pub request_id: String,
}

/// Whose objects a query may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One project's.
    Project(String),
    /// Everyone's (admins only).
    All,
}

impl Caller {
    /// Nobody, who may do nothing.
    #[must_use]
    pub fn nobody(request_id: String) -> Self {
        Self {
            user: String::new(),
            project: String::new(),
            domain: None,
            roles: Vec::new(),
            is_admin: false,
            request_id,
        }
    }

    /// What this caller may look up by identity: an admin everything.
    #[must_use]
    pub fn scope(&self) -> Scope {
        if self.is_admin {
            Scope::All
        } else {
            Scope::Project(self.project.clone())
        }
    }
}
