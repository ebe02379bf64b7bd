//! Who connected and has not proved anything yet: how many there may be, and who has to go. Pure.
//!
//! Another pod can connect as often as it likes. It takes the place of its own earlier connections, and
//! where there are too many in all, an address with many of them loses one before an address with few.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// At once, of all addresses.
pub const VISITORS_MAX: usize = 64;
/// At once, of one address.
pub const OF_ADDRESS_MAX: usize = 4;

/// By number, the oldest first.
#[derive(Debug, Default)]
pub struct Visitors {
    all: BTreeMap<u64, IpAddr>,
    next: u64,
}

impl Visitors {
    /// One more: its number, and whoever has to go for it.
    pub fn arrive(&mut self, address: IpAddr) -> (u64, Option<u64>) {
        let goes = if self.of(address) >= OF_ADDRESS_MAX {
            self.oldest_of(address)
        } else if self.all.len() >= VISITORS_MAX {
            self.crowd().and_then(|crowd| self.oldest_of(crowd))
        } else {
            None
        };
        if let Some(goes) = goes {
            self.all.remove(&goes);
        }
        let number = self.next;
        self.next += 1;
        self.all.insert(number, address);
        (number, goes)
    }

    /// One proved who it is, or went.
    pub fn leave(&mut self, number: u64) {
        self.all.remove(&number);
    }

    fn of(&self, address: IpAddr) -> usize {
        self.all.values().filter(|known| **known == address).count()
    }

    fn oldest_of(&self, address: IpAddr) -> Option<u64> {
        let mut of = self.all.iter().filter(|(_, known)| **known == address);
        of.next().map(|(number, _)| *number)
    }

    /// The address with the most; of those with as many, the one that came first: the latest is proving who
    /// it is.
    fn crowd(&self) -> Option<IpAddr> {
        self.all.values().rev().copied().max_by_key(|address| self.of(*address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn one_address_takes_the_place_of_its_own_oldest_connection() {
        let mut visitors = Visitors::default();
        let honest = visitors.arrive(address(1)).0;
        let first = visitors.arrive(address(2)).0;
        for _ in 1..OF_ADDRESS_MAX {
            assert_eq!(visitors.arrive(address(2)).1, None);
        }
        assert_eq!(visitors.arrive(address(2)).1, Some(first));
        assert_eq!(visitors.arrive(address(2)).1, Some(first + 1));
        visitors.leave(honest);
        assert_eq!(visitors.all.len(), OF_ADDRESS_MAX);
    }

    #[test]
    fn of_many_addresses_with_one_connection_each_the_first_goes() {
        let mut visitors = Visitors::default();
        let come = |visitors: &mut Visitors, last: usize| {
            visitors.arrive(address(u8::try_from(last).unwrap()))
        };
        let numbers: Vec<_> = (0..VISITORS_MAX).map(|last| come(&mut visitors, last).0).collect();
        assert_eq!(come(&mut visitors, VISITORS_MAX).1, Some(numbers[0]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        /// However many come from however many addresses, there is a bound, and who has one connection
        /// keeps it while anybody has more.
        #[test]
        fn a_crowd_goes_before_a_single_visitor(from in prop::collection::vec(1..40_u8, 0..400)) {
            let mut visitors = Visitors::default();
            for last in from {
                let before = visitors.all.clone();
                let (number, goes) = visitors.arrive(address(last));
                prop_assert!(visitors.all.len() <= VISITORS_MAX && visitors.of(address(last)) <= OF_ADDRESS_MAX);
                prop_assert!(visitors.all.contains_key(&number));
                if let Some(went) = goes.and_then(|goes| before.get(&goes)) {
                    let count = |of: &IpAddr| before.values().filter(|it| *it == of).count();
                    let most = before.values().map(count).max().unwrap_or(0);
                    prop_assert!(*went == address(last) || count(went) == most);
                }
            }
        }
    }
}
