//! The picture of a proof: a fresh random pattern and the comparison of what came back. Pure.

use x11rb::protocol::xproto::{ImageOrder, Setup};

/// Width; a multiple of 32 so that no scanline needs padding at any depth.
pub(super) const WIDTH_PX: u16 = 32;
/// Height; with 32 bits per pixel the picture fills one page.
pub(super) const HEIGHT_PX: u16 = 32;
/// The picture at the largest format X has.
pub(super) const PICTURE_BYTES_MAX: usize = WIDTH_PX as usize * HEIGHT_PX as usize * 4;

/// How the server lays out a ZPixmap of the root's depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) depth: u8,
    bits_per_pixel: u8,
    order: ImageOrder,
}

impl Layout {
    /// For the root window of screen 0, when the server describes it.
    pub(super) fn of_root(setup: &Setup) -> Option<Self> {
        let depth = setup.roots.first()?.root_depth;
        let format = setup.pixmap_formats.iter().find(|format| format.depth == depth)?;
        let usable = matches!(format.bits_per_pixel, 8 | 16 | 24 | 32);
        usable.then_some(Self {
            depth,
            bits_per_pixel: format.bits_per_pixel,
            order: setup.image_byte_order,
        })
    }

    /// Bytes of the picture.
    pub(super) fn picture_bytes(self) -> usize {
        usize::from(WIDTH_PX) * usize::from(HEIGHT_PX) * usize::from(self.bits_per_pixel / 8)
    }

    /// Whether `seen` shows the picture `drawn`. Both are in the server's byte order; only the
    /// `depth` low bits of a pixel mean anything (of 24 in 32 bits the rest comes back as it may).
    pub(super) fn same_picture(self, drawn: &[u8], seen: &[u8]) -> bool {
        let pixel_bytes = usize::from(self.bits_per_pixel / 8);
        let length = self.picture_bytes();
        let (Some(drawn), Some(seen)) = (drawn.get(..length), seen.get(..length)) else {
            return false;
        };
        let value = |pixel: &[u8]| {
            let shift_in = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
            let value = match self.order {
                ImageOrder::MSB_FIRST => pixel.iter().fold(0, shift_in),
                _ => pixel.iter().rev().fold(0, shift_in),
            };
            value & u32::MAX.checked_shr(32 - u32::from(self.depth)).unwrap_or(u32::MAX)
        };
        drawn
            .chunks_exact(pixel_bytes)
            .zip(seen.chunks_exact(pixel_bytes))
            .all(|(drawn, seen)| value(drawn) == value(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(depth: u8, bits_per_pixel: u8, order: ImageOrder) -> Layout {
        Layout { depth, bits_per_pixel, order }
    }

    #[test]
    fn the_undefined_byte_of_depth_24_does_not_count_and_every_other_does() {
        for (order, undefined) in [(ImageOrder::LSB_FIRST, 3), (ImageOrder::MSB_FIRST, 0)] {
            let layout = layout(24, 32, order);
            let drawn = vec![0x5a; layout.picture_bytes()];
            for byte in 0..4 {
                let mut seen = drawn.clone();
                seen[400 + byte] ^= 0xff;
                assert_eq!(layout.same_picture(&drawn, &seen), byte == undefined);
            }
        }
    }

    #[test]
    fn one_wrong_bit_in_the_last_pixel_of_any_depth_is_seen() {
        for (depth, bits) in [(8, 8), (15, 16), (16, 16), (24, 24), (30, 32), (32, 32)] {
            let layout = layout(depth, bits, ImageOrder::LSB_FIRST);
            let drawn = vec![0xc3; layout.picture_bytes()];
            let mut seen = drawn.clone();
            assert!(layout.same_picture(&drawn, &seen), "{depth}");
            seen[layout.picture_bytes() - usize::from(bits / 8)] ^= 1;
            assert!(!layout.same_picture(&drawn, &seen), "{depth}");
        }
    }

    #[test]
    fn a_short_answer_is_not_the_picture() {
        let layout = layout(24, 32, ImageOrder::LSB_FIRST);
        assert!(!layout.same_picture(&[0; PICTURE_BYTES_MAX], &[0; 100]));
    }
}
