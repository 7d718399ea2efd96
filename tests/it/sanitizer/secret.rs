//! A random secret, and the forms it may be dressed in.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Random letters that stand nowhere else.
#[derive(Debug)]
pub struct Secret {
    letters: String,
}

impl Secret {
    pub fn random() -> Self {
        let letter = |_| char::from(b'a' + rand::random_range(0..26u8));
        Self { letters: (0..24).map(letter).collect() }
    }

    /// Texts that tell the secret.
    pub fn forms(&self) -> Vec<String> {
        let Self { letters } = self;
        vec![
            letters.clone(),
            format!("se\u{301}cret \u{202e}{letters}\u{202c} \u{1f511}\u{fe0f}"),
            self.apart(),
            self.fullwidth(),
            letters.chars().rev().collect(),
            STANDARD.encode(letters),
            self.hex(),
            letters.to_uppercase(),
            format!("<b onload=\"x('{letters}')\">\\u0000%00 {{\"k\": \"{letters}\"}}"),
            format!("{letters}\u{feff}\u{200d}{}", "\u{10ffff}"),
        ]
    }

    /// Whether a text tells the secret, in any of its forms, escaped or not.
    pub fn is_in(&self, text: &str) -> bool {
        let Self { letters } = self;
        let text = unescaped(text);
        let plain = text.to_lowercase();
        let backwards: String = letters.chars().rev().collect();
        // Base64 of a part of a text begins at any of three places; the middle is the same for all that are told.
        let encoded = [STANDARD.encode(letters), URL_SAFE_NO_PAD.encode(letters)];
        [letters.clone(), backwards, self.hex()].iter().any(|needle| plain.contains(needle.as_str()))
            || [self.apart(), self.fullwidth()].iter().chain(&encoded).any(|needle| text.contains(needle.as_str()))
    }

    /// With nothing between the letters that can be seen.
    fn apart(&self) -> String {
        self.letters.chars().flat_map(|letter| [letter, '\u{200b}']).collect()
    }

    fn fullwidth(&self) -> String {
        let wide = |letter: char| char::from_u32(u32::from(letter) - u32::from('a') + 0xff41);
        self.letters.chars().filter_map(wide).collect()
    }

    fn hex(&self) -> String {
        self.letters.bytes().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The text with its `\u` escapes taken back.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut units: Vec<u16> = parts.next().unwrap_or_default().encode_utf16().collect();
    for part in parts {
        match part.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                units.extend(part[4..].encode_utf16());
            }
            None => units.extend(format!("\\u{part}").encode_utf16()),
        }
    }
    String::from_utf16_lossy(&units)
}
