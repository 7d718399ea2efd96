//! Counts the parts that messages come in.
//!
//! tungstenite tells of whole messages alone, while a message may come in any number of parts, each of which costs its
//! reader something. So the frames' headers are followed here, beside it, in the bytes that it reads.

/// Where in a frame the bytes are.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// The header, as far as it is there: two bytes, up to eight of length, four of the mask.
    header: [u8; 14],
    have: usize,
    /// Bytes of payload to come.
    payload: u64,
    /// Parts begun and not yet told of.
    begun: u32,
    /// Whether a message has begun whose last part has not.
    open: bool,
}

impl Fragments {
    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = bytes.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                self.payload -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header[self.have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            if self.have >= 2 && self.have == self.length() {
                self.take();
            }
        }
    }

    /// Bytes of the header, once the first two are there.
    fn length(&self) -> usize {
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    fn take(&mut self) {
        let [first, second, rest @ ..] = self.header;
        self.payload = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([rest[0], rest[1]])),
            127 => u64::from_be_bytes(std::array::from_fn(|i| rest[i])),
            short => u64::from(short),
        };
        let is_last = first & 0x80 != 0;
        let is_control = first & 0x08 != 0;
        if !is_control {
            self.open = !is_last;
            self.begun = self.begun.saturating_add(u32::from(!is_last));
        }
        self.have = 0;
    }

    /// Parts that began since this was asked last, without the last part of each message.
    pub(super) fn tell(&mut self) -> u32 {
        std::mem::take(&mut self.begun)
    }

    /// Whether the bytes so far are whole messages, and no more.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.payload == 0 && !self.open
    }

    /// Whether there are parts to tell of.
    pub(super) fn wait(&self) -> bool {
        self.begun > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(mask | length as u8),
            126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(if masked { &[1, 2, 3, 4] } else { &[] });
        bytes.resize(bytes.len() + length, 0);
        bytes
    }

    proptest! {
        #[test]
        fn parts_are_counted_wherever_the_bytes_are_cut(
            frames in prop::collection::vec(
                (prop::sample::select(vec![0x01, 0x00, 0x80, 0x81, 0x02, 0x82, 0x89, 0x8a, 0x09]),
                 prop::sample::select(vec![0, 1, 125, 126, 300, 65_535, 65_536]),
                 any::<bool>()), 0..12),
            piece in 1usize..3_000,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|&(first, length, masked)| frame(first, length, masked)).collect();
            let mut fragments = Fragments::default();
            bytes.chunks(piece).for_each(|piece| fragments.follow(piece));
            let expected = frames.iter().filter(|(first, ..)| matches!(first, 0..=2)).count();
            prop_assert_eq!(fragments.wait(), expected > 0);
            prop_assert_eq!(fragments.tell() as usize, expected);
            prop_assert!(!fragments.wait());
        }
    }

    #[test]
    fn between_messages_is_where_nothing_is_missing() {
        let mut fragments = Fragments::default();
        let message =
            [frame(0x01, 3, true), frame(0x89, 4, true), frame(0x00, 0, true), frame(0x80, 200, true)].concat();
        assert!(fragments.is_between());
        for (at, byte) in message.iter().enumerate() {
            fragments.follow(&[*byte]);
            assert_eq!(fragments.is_between(), at + 1 == message.len(), "after {} bytes", at + 1);
        }
        fragments.follow(&frame(0x89, 0, true));
        assert!(fragments.is_between(), "a control frame is a message of its own");
    }
}
