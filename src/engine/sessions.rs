//! The sessions of an agent, found by key.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::agent::Session;
use crate::analyze::ahead::fetch;
use crate::domain::SessionKey;

/// More sessions than this are kept in a tree.
const FEW: usize = 32;

/// Sessions in the order of their keys: a list, which takes little memory and one look, or a tree where there are many.
#[derive(Debug, Clone)]
pub struct Sessions(Kept);

#[derive(Debug, Clone)]
enum Kept {
    Few(Vec<(SessionKey, Box<Session>)>),
    Many(BTreeMap<SessionKey, Box<Session>>),
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl Sessions {
    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Few(few) => few.len(),
            Kept::Many(many) => many.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The session of a key.
    pub fn get(&self, key: SessionKey) -> Option<&Session> {
        match &self.0 {
            Kept::Few(few) => few.iter().find(|(known, _)| *known == key).map(|(_, session)| session.as_ref()),
            Kept::Many(many) => many.get(&key).map(Box::as_ref),
        }
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        let (few, many) = match &self.0 {
            Kept::Few(few) => (Some(few), None),
            Kept::Many(many) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().map(|(key, session)| (*key, session.as_ref()));
        few.chain(many.into_iter().flatten().map(|(key, session)| (*key, session.as_ref())))
    }

    /// The session of a key, which is there from now on.
    pub(super) fn enter(&mut self, key: SessionKey) -> &mut Session {
        if let Kept::Few(few) = &mut self.0
            && few.len() >= FEW
            && !few.iter().any(|(known, _)| *known == key)
        {
            self.0 = Kept::Many(std::mem::take(few).into_iter().collect());
        }
        match &mut self.0 {
            Kept::Few(few) => {
                let at = few.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                    let at = few.partition_point(|(known, _)| *known < key);
                    // Most agents have one session, or a few at a time.
                    if few.len() < 4 {
                        few.reserve_exact(1);
                    }
                    few.insert(at, (key, Box::default()));
                    at
                });
                &mut few[at].1
            }
            Kept::Many(many) => many.entry(key).or_default(),
        }
    }

    pub(super) fn remove(&mut self, key: SessionKey) {
        match &mut self.0 {
            Kept::Few(few) => few.retain(|(known, _)| *known != key),
            Kept::Many(many) => {
                many.remove(&key);
            }
        }
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        if let Kept::Few(few) = &self.0 {
            fetch(few.first());
        }
    }
}

impl PartialEq for Sessions {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Serialize for Sessions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let many = BTreeMap::<SessionKey, Box<Session>>::deserialize(deserializer)?;
        Ok(Self(if many.len() <= FEW { Kept::Few(many.into_iter().collect()) } else { Kept::Many(many) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_kept_as_few_are() {
        let mut sessions = Sessions::default();
        let mut model = BTreeMap::new();
        for i in 0..200u64 {
            let key = SessionKey::from_u64(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 97);
            sessions.enter(key).touched = i;
            model.insert(key, i);
            if i % 3 == 0 {
                let gone = SessionKey::from_u64(i % 97);
                sessions.remove(gone);
                model.remove(&gone);
            }
            let told: Vec<_> = sessions.iter().map(|(key, session)| (key, session.touched)).collect();
            assert_eq!(told, model.clone().into_iter().collect::<Vec<_>>());
            assert_eq!(sessions.get(key).map(|session| session.touched), model.get(&key).copied());
            let read: Sessions = serde_json::from_str(&serde_json::to_string(&sessions).unwrap()).unwrap();
            assert_eq!(read, sessions);
        }
        assert!(sessions.len() > FEW && !sessions.is_empty());
    }
}
