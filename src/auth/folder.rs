//! A folder of keys, as a mounted secret is one: each file is a key, and its name says which.

use std::path::{Path, PathBuf};

use super::{Algorithm, Key};

/// A key's file, and the key or what is wrong with it.
pub(super) type Read = (PathBuf, Result<Key, String>);

/// Reads the folder's keys, in the order of their `kid`s. A file is called `KID.ALG`, as in `2025-11.hs256` or
/// `2025-11.eddsa`, with or without `.pem` behind. Names that begin with a dot are passed over: a mounted secret has such
/// folders beside its files, which are links into them.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn read(folder: &Path) -> Result<Vec<Read>, String> {
    let problem = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let name = entry.map_err(problem)?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    let mut keys: Vec<(String, Read)> = Vec::with_capacity(names.len());
    for name in names {
        let path = folder.join(&name);
        let (kid, key) = match name.to_str().and_then(split) {
            Some((kid, algorithm)) => (kid.to_owned(), Key::from_file(kid, algorithm, &path)),
            None => (String::new(), Err(format!("is not called KID.ALG, with ALG one of {}", algorithms()))),
        };
        keys.push((kid, (path, key)));
    }
    keys.sort_by(|(a, (x, _)), (b, (y, _))| a.cmp(b).then_with(|| x.cmp(y)));
    Ok(keys.into_iter().map(|(_, read)| read).collect())
}

/// `kid` and algorithm of a file's name.
fn split(name: &str) -> Option<(&str, Algorithm)> {
    let (kid, word) = name.strip_suffix(".pem").unwrap_or(name).rsplit_once('.')?;
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(word))?;
    super::config::is_kid(kid).then_some((kid, algorithm))
}

fn algorithms() -> String {
    Algorithm::ALL.map(|algorithm| algorithm.as_str().to_lowercase()).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_key_it_is() {
        for (name, expected) in [
            ("2025-11.hs256", Some(("2025-11", Algorithm::HS256))),
            ("2025-11.EdDSA", Some(("2025-11", Algorithm::EdDSA))),
            ("a.b.es256.pem", Some(("a.b", Algorithm::ES256))),
            ("rs256.ps256", Some(("rs256", Algorithm::PS256))),
            ("rs256", None),
            (".rs256", None),
            ("README.md", None),
            ("a b.hs256", None),
            ("a.hs256.bak", None),
            ("a.pem", None),
            ("", None),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_mounted_secret_is_read_through_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("..2025_11_25");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink("..2025_11_25", folder.path().join("..data")).unwrap();
        for name in ["b.hs256", "a.hs512", "c.rs256"] {
            std::fs::write(inside.join(name), [b'k'; 64]).unwrap();
            std::os::unix::fs::symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("notes"), "").unwrap();
        let keys = read(folder.path()).unwrap();
        let told: Vec<_> = keys.iter().map(|(_, key)| key.as_ref().map(Key::kid).map_err(String::as_str)).collect();
        let unnamed = "is not called KID.ALG, with ALG one of hs256, hs384, hs512, eddsa, es256, rs256, ps256";
        let public = "holds no public key in PEM form (BEGIN PUBLIC KEY)";
        assert_eq!(told, [Err(unnamed), Ok("a"), Ok("b"), Err(public)]);
        assert_eq!(read(&folder.path().join("missing")).unwrap_err(), "cannot be read: entity not found");
    }
}
