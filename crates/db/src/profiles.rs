//! Profiles.

use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Map, Time,
    caller::Scope,
    ids::*,
    profile::{Profile, Spec},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    sql::{Sql, row},
};

row! { ProfileRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    type_name: String = Text,
    spec: Value = Jsonb,
    user_id: String = Text,
    project: String = Text,
    domain: Option<String> = Nullable<Text>,
    metadata: Value = Jsonb,
    created_at: Time = Timestamptz,
    updated_at: Option<Time> = Nullable<Timestamptz>,
}}

const SELECT: &str = "SELECT id, name, type AS type_name, spec, user_id, project, domain, metadata, \
                      created_at, updated_at FROM profiles";

impl TryFrom<ProfileRow> for Profile {
    type Error = DbError;

    fn try_from(row: ProfileRow) -> Result<Self> {
        let spec: Spec = serde_json::from_value(row.spec).map_err(|e| DbError::Corrupt {
            column: "profiles.spec",
            value: e.to_string(),
        })?;
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            type_name: row.type_name,
            spec,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            metadata: crate::object(row.metadata),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The profile with that id, whoever's it is: for the engine.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, id: ProfileId) -> Result<Option<Profile>> {
    let row: Option<ProfileRow> = Sql::new(SELECT)
        .push(" WHERE id = ?")
        .bind(id)
        .first(conn)
        .await?;
    row.map(TryInto::try_into).transpose()
}
