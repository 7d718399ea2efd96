//! Recordings as files: plain or gzipped, with a bar that shows how far reading has come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Opens a recording, `-` for the standard input, to be read in chunks of so many bytes: the bar moves by these. What
/// begins like gzip (RFC 1952) is unpacked.
///
/// # Errors
/// When it cannot be opened, or its beginning cannot be read.
pub fn open(path: &Path, bar: &ProgressBar, chunk: usize) -> io::Result<BufReader<Box<dyn Read>>> {
    let file: Box<dyn Read> = if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut file = BufReader::with_capacity(chunk, bar.wrap_read(file));
    let packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::with_capacity(chunk, plain))
}

/// A bar on the standard error when that is a terminal, else none: how far these files are read, how many `things` that
/// made, how fast, and how long it will take. Without a known size, what is known of these.
pub fn bar(files: &[PathBuf], things: &str) -> ProgressBar {
    let sizes: Option<u64> = files
        .iter()
        .map(|file| file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()))
        .sum();
    let (bar, template) = match sizes {
        Some(size) => (
            ProgressBar::new(size),
            format!("{{bar:24}} {{percent:>3}} %  {{msg}} {things}  {{bytes_per_sec}}  {{eta}} to go"),
        ),
        None => (
            ProgressBar::new_spinner(),
            format!("{{spinner}} {{msg}} {things}  {{bytes}} in {{elapsed}}  {{bytes_per_sec}}"),
        ),
    };
    if io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(100));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.with_message("0")
        .with_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn gzip_is_unpacked_and_all_else_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{}\n[]\n").unwrap();
        let packed = packed.finish().unwrap();
        // Two members, as `cat a.gz b.gz` makes them.
        for (content, text) in
            [(b"{}\n".to_vec(), "{}\n"), (packed.repeat(2), "{}\n[]\n{}\n[]\n"), (Vec::new(), ""), (vec![b'1'], "1")]
        {
            let path = folder.path().join("recording");
            std::fs::write(&path, content).unwrap();
            let mut read = String::new();
            open(&path, &ProgressBar::hidden(), 512).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
        assert!(open(Path::new("/no/such/file"), &ProgressBar::hidden(), 512).is_err());
    }
}
