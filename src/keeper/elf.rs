//! The head of an executable: for which machine it is and which loader it wants. Only enough of
//! ELF (elf(5)) to explain why execve(2) refused a file; any bytes are survived.

/// Where an ELF header's fields are, for the two classes.
struct Layout {
    program_headers: usize,
    entry_bytes: usize,
    entry_count: usize,
    offset: usize,
    size: usize,
    wide: bool,
}

const LAYOUT_32: Layout = Layout {
    program_headers: 28,
    entry_bytes: 42,
    entry_count: 44,
    offset: 4,
    size: 16,
    wide: false,
};
const LAYOUT_64: Layout = Layout {
    program_headers: 32,
    entry_bytes: 54,
    entry_count: 56,
    offset: 8,
    size: 32,
    wide: true,
};

const PT_INTERP: u64 = 3;

/// What an ELF header says.
#[derive(Debug, PartialEq, Eq)]
pub struct Elf<'a> {
    /// `EM_*`.
    pub machine: u16,
    /// Bits of an address: 32 or 64.
    pub bits: u8,
    /// The loader (`PT_INTERP`), when the head reaches that far.
    pub loader: Option<&'a [u8]>,
}

/// Reads the head of a file; nothing when it is no ELF file.
#[must_use]
pub fn parse(head: &[u8]) -> Option<Elf<'_>> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let (bits, layout) = match head.get(4)? {
        1 => (32, LAYOUT_32),
        2 => (64, LAYOUT_64),
        _ => return None,
    };
    let big_endian = *head.get(5)? == 2;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = head.get(at..at.checked_add(bytes)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if big_endian { field.iter().fold(0, add) } else { field.iter().rev().fold(0, add) })
    };
    let word = if layout.wide { 8 } else { 4 };
    let machine = u16::try_from(number(18, 2)?).ok()?;
    let loader = || {
        let table = usize::try_from(number(layout.program_headers, word)?).ok()?;
        let entry_bytes = usize::try_from(number(layout.entry_bytes, 2)?).ok()?;
        let entries = usize::try_from(number(layout.entry_count, 2)?).ok()?;
        let interp = (0..entries)
            .map_while(|entry| table.checked_add(entry.checked_mul(entry_bytes)?))
            .find(|at| number(*at, 4) == Some(PT_INTERP))?;
        let start = usize::try_from(number(interp.checked_add(layout.offset)?, word)?).ok()?;
        let bytes = usize::try_from(number(interp.checked_add(layout.size)?, word)?).ok()?;
        let path = head.get(start..start.checked_add(bytes)?)?;
        Some(path.strip_suffix(b"\0").unwrap_or(path))
    };
    Some(Elf { machine, bits, loader: loader() })
}

/// The name of an `EM_*` number, as `uname -m` would say it.
pub(crate) fn machine_name(machine: u16, bits: u8) -> String {
    match (machine, bits) {
        (3, _) => "i686".to_owned(),
        (62, 32) => "x86_64 (x32)".to_owned(),
        (62, _) => "x86_64".to_owned(),
        (40, _) => "arm".to_owned(),
        (183, _) => "aarch64".to_owned(),
        (243, _) => format!("riscv{bits}"),
        (21, _) => "ppc64".to_owned(),
        (22, _) => "s390x".to_owned(),
        (258, _) => "loongarch64".to_owned(),
        (other, _) => format!("ELF machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_own_executable_names_its_loader() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let elf = parse(&bytes[..4096]).unwrap();
        assert_eq!(machine_name(elf.machine, elf.bits), std::env::consts::ARCH);
        assert!(elf.loader.is_none_or(|loader| loader.starts_with(b"/")));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_bytes_panic(class: u8, order: u8, rest: Vec<u8>) {
            let mut head = b"\x7fELF".to_vec();
            head.extend([class % 3, order % 3]);
            head.extend(rest);
            let _ = parse(&head);
        }
    }
}
