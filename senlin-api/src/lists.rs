//! List parameters: filters, limit, marker, sort, global_project.

use senlin_core::caller::Scope;
use senlin_db::page::{Direction, Filter, Page};
use uuid::Uuid;

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// What a list of one resource understands.
pub struct ListSpec {
    /// Filter parameters and the columns they mean.
    pub filters: &'static [(&'static str, &'static str)],
    /// Sort keys and the columns they mean.
    pub sort: &'static [(&'static str, &'static str)],
    /// Parameters that the handler reads itself.
    pub own: &'static [&'static str],
    /// Values that a filter may have.
    pub allowed: fn(&str, &str) -> bool,
    /// Whether the message quotes an unknown parameter's name.
    pub quote: bool,
}

/// What was asked for.
pub struct ListQuery {
    /// Whose objects.
    pub scope: Scope,
    /// Conditions.
    pub filters: Vec<Filter>,
    /// Which part, in which order.
    pub page: Page,
}

fn refuse<T>(text: String) -> Result<T> {
    Err(ApiError::BadRequest(text))
}

/// Understands a list's query.
///
/// # Errors
/// Names the parameter and the rule.
pub fn parse_list(call: &Call, spec: &ListSpec) -> Result<ListQuery> {
    let mut filters: Vec<Filter> = Vec::new();
    let mut page = Page::default();
    let mut global = false;
    for (key, value) in &call.query {
        if let Some((_, column)) = spec.filters.iter().find(|(k, _)| k == key) {
            if !(spec.allowed)(key, value) {
                return refuse(format!("Field value {value} is invalid"));
            }
            match filters.iter_mut().find(|f| f.column == *column) {
                Some(filter) => filter.values.push(value.clone()),
                None => filters.push(Filter {
                    column,
                    values: vec![value.clone()],
                }),
            }
            continue;
        }
        match key.as_str() {
            "limit" => page.limit = Some(limit(value)?),
            "marker" => page.marker = Some(marker(value)?),
            "sort" => page.sort = sort(value, spec.sort)?,
            "global_project" => global = global_project(call, value)?,
            own if spec.own.contains(&own) => {}
            other if spec.quote => return refuse(format!("Invalid parameter '{other}'")),
            other => return refuse(format!("Invalid parameter {other}")),
        }
    }
    // A page has an end, whatever was asked; `marker` leads to the next.
    let most = call.api.settings.max_page_size;
    page.limit = Some(page.limit.unwrap_or(most).min(most));
    let scope = if global || call.caller.is_admin {
        Scope::All
    } else {
        call.scope()
    };
    Ok(ListQuery { scope, filters, page })
}

fn limit(value: &str) -> Result<i64> {
    match value.parse::<i64>() {
        Ok(n) if n >= 0 => Ok(n),
        Ok(_) => refuse("Value must be >= 0 for field 'limit'.".to_owned()),
        Err(_) => refuse(format!("The value for limit must be an integer: '{value}'.")),
    }
}

fn marker(value: &str) -> Result<Uuid> {
    value.parse().map_err(|_source: uuid::Error| {
        ApiError::BadRequest(format!("The value for marker is not a valid UUID: '{value}'."))
    })
}

/// Keys that one list may be sorted by: each one more costs every row.
const MAX_SORT_KEYS: usize = 4;

/// Understands `key[:asc|desc],…`; `known` are the keys and their columns.
///
/// # Errors
/// Names what is unknown, named twice, or one too many.
pub fn sort(value: &str, known: &[(&'static str, &'static str)]) -> Result<Vec<(&'static str, Direction)>> {
    let mut keys = Vec::new();
    for part in value.split(',') {
        let (key, direction) = part.trim().split_once(':').unwrap_or((part.trim(), "asc"));
        let Some((_, column)) = known.iter().find(|(k, _)| *k == key) else {
            return refuse(format!("Unsupported sort key '{key}' for 'sort'."));
        };
        let direction = match direction {
            "asc" | "" => Direction::Asc,
            "desc" => Direction::Desc,
            other => return refuse(format!("Unsupported sort dir '{other}' for 'sort'.")),
        };
        if keys.iter().any(|(named, _)| named == column) {
            return refuse(format!("The sort key '{key}' for 'sort' is named more than once."));
        }
        if keys.len() == MAX_SORT_KEYS {
            return refuse(format!("At most {MAX_SORT_KEYS} sort keys are allowed for 'sort'."));
        }
        keys.push((*column, direction));
    }
    Ok(keys)
}

/// A filter that is true or false.
///
/// # Errors
/// When it is neither.
pub fn boolean(key: &str, value: &str) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
        _ => refuse(format!("Invalid value '{value}' specified for '{key}'")),
    }
}

fn global_project(call: &Call, value: &str) -> Result<bool> {
    match boolean("global_project", value)? {
        true if !call.caller.is_admin => Err(ApiError::Forbidden),
        asked => Ok(asked),
    }
}
