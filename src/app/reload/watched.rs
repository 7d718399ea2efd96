//! Files that are looked at again and again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Files and folders, and how they looked last.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    taken: Look,
    last: Look,
}

/// How files look: enough to tell whether they were written, replaced, or are reached by other links now.
type Look = Vec<(PathBuf, Option<[i128; 5]>)>;

impl Watched {
    /// Takes what is there now as known.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let look = look(&paths);
        Self { paths, taken: look.clone(), last: look }
    }

    /// Looks again. Whether there is something new, and it looked the same the last time: what is being written still is
    /// waited for. What is new is known from then on.
    pub(super) fn has_news(&mut self) -> bool {
        let now = look(&self.paths);
        let settled = now == self.last;
        self.last = now;
        let news = settled && self.last != self.taken;
        if news {
            self.taken.clone_from(&self.last);
        }
        news
    }
}

fn look(paths: &[PathBuf]) -> Look {
    let mut look = Vec::with_capacity(paths.len());
    for path in paths {
        look.push((path.clone(), stat(path)));
        // One that is no folder, or cannot be read, has no entries.
        let mut inside: Look = std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| (entry.path(), stat(&entry.path())))
            .collect();
        inside.sort();
        look.append(&mut inside);
    }
    look
}

/// Of what a path leads to, links followed; `None`: nothing.
fn stat(path: &PathBuf) -> Option<[i128; 5]> {
    let of = |file: Metadata| {
        let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let written = time(file.mtime(), file.mtime_nsec());
        let changed = time(file.ctime(), file.ctime_nsec());
        [file.dev().into(), file.ino().into(), file.size().into(), written, changed]
    };
    std::fs::metadata(path).ok().map(of)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_changed_is_told_once_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        assert!(!watched.has_news());
        std::fs::write(&file, "one and").unwrap();
        assert!(!watched.has_news(), "it may not be all yet");
        std::fs::write(&file, "one and two").unwrap();
        assert!(!watched.has_news(), "nor now");
        assert!(watched.has_news());
        assert!(!watched.has_news(), "once");
        std::fs::remove_file(&file).unwrap();
        assert!(!watched.has_news() && watched.has_news(), "gone is news, too");
    }

    #[test]
    fn a_mounted_secret_changes_by_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["..1", "..2"] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("k.hs256"), "the same").unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/k.hs256", at("k.hs256")).unwrap();
        let mut watched = [Watched::new(vec![folder.path().to_owned()]), Watched::new(vec![at("k.hs256")])];
        symlink("..2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        for watched in &mut watched {
            assert!(!watched.has_news() && watched.has_news());
        }
        // A key is taken out of the folder, and one put into it.
        std::fs::remove_file(at("k.hs256")).unwrap();
        assert!(!watched[0].has_news() && watched[0].has_news());
        std::fs::write(at("l.hs256"), "").unwrap();
        assert!(!watched[0].has_news() && watched[0].has_news());
    }
}
