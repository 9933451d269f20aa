//! Who may do what. The engine has no users of its own here, but it does have roles, grants and
//! constrained settings: each user becomes a role and a settings profile, and each statement runs
//! under them.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::exception::{Exception, code};

/// The users of a server that is given no file: `default`, who writes, and `analyst`, who reads the
/// views of `eye`; neither has a password.
const BUILT_IN: &str = include_str!("../../engine/users.toml");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Users {
    #[serde(rename = "user")]
    users: Vec<User>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    #[serde(default)]
    password: String,
    /// May change data and definitions, everywhere.
    #[serde(default)]
    pub(crate) writes: bool,
    /// The databases that a user who does not write may read.
    #[serde(default)]
    reads: Vec<String>,
}

/// Limits of every statement; a client may set them lower, not higher.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) seconds: u64,
    pub(crate) memory: u64,
    pub(crate) threads: u64,
}

impl Users {
    /// # Errors
    /// The file can't be read, or names can't be used.
    pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let text = match file {
            Some(file) => {
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
            }
            None => BUILT_IN.to_owned(),
        };
        let users: Self = toml::from_str(&text).context("cannot understand the file of users")?;
        for user in &users.users {
            for name in user.reads.iter().chain([&user.name]) {
                let plain =
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                ensure!(
                    plain,
                    "{name:?} cannot be the name of a user or a database: letters, digits and _ only"
                );
            }
        }
        Ok(users)
    }

    /// # Errors
    /// No such user, or a wrong password; which of the two is not told.
    pub(crate) fn authenticate(&self, name: &str, password: &str) -> Result<&User, Exception> {
        let user = self.users.iter().find(|user| user.name == name);
        user.filter(|user| same(user.password.as_bytes(), password.as_bytes())).ok_or_else(|| {
            let message = format!(
                "{name}: Authentication failed: password is incorrect, or there is no user with such name"
            );
            Exception::new(code::AUTHENTICATION_FAILED, message)
        })
    }

    /// The engine's own file of roles and settings profiles.
    pub(crate) fn engine_configuration(&self, limits: &Limits) -> String {
        let mut roles = String::new();
        let mut profiles = String::new();
        for user in &self.users {
            let grants = if user.writes {
                "<query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, CHECK, dictGet, UNDROP TABLE, SET DEFINER, TABLE ENGINE ON *.*</query>".to_owned()
            } else {
                let grants = user.reads.iter().map(|name| format!("<query>GRANT SELECT ON {name}.*</query>"));
                grants.collect()
            };
            roles.push_str(&format!("<{0}><grants>{grants}</grants></{0}>", user.name));
            profiles.push_str(&format!(
                "<of_{0}><constraints>\
                 <max_execution_time><min>1</min><max>{seconds}</max></max_execution_time>\
                 <max_memory_usage><min>1</min><max>{memory}</max></max_memory_usage></constraints></of_{0}>",
                user.name,
                seconds = limits.seconds,
                memory = limits.memory,
            ));
        }
        // Data of this size are in the page cache. ClickHouse's own choice tries that first and hands the rest to other
        // threads; a file system in memory can't be tried so, and every read would go to another thread.
        let reads = "<local_filesystem_read_method>pread</local_filesystem_read_method>";
        let names: Vec<&str> = self.users.iter().map(|user| user.name.as_str()).collect();
        format!(
            "<clickhouse><profiles><default>{reads}</default>{profiles}</profiles><roles>{roles}</roles>\
             <users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile>\
             <quota>default</quota><grants><query>GRANT {}</query></grants></default></users>\
             <quotas><default/></quotas></clickhouse>",
            names.join(", ")
        )
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_users() {
        let users = Users::read(None).unwrap();
        assert!(users.authenticate("default", "").unwrap().writes);
        assert!(!users.authenticate("analyst", "").unwrap().writes);
        for (name, password) in [("default", "x"), ("nobody", "")] {
            let error = users.authenticate(name, password).unwrap_err();
            assert_eq!(error.code, code::AUTHENTICATION_FAILED);
        }
    }
}
