//! The answer to QueryClientIds (X-Resource 1.2), as far as deskd reads it. x11rb's parser first makes room
//! for as many ids as the server says there are, which may be 137 GB, whatever it sent.

use x11rb::errors::ParseError;
use x11rb::protocol::res::ClientIdMask;

/// Where the number of ids is, and where they begin.
const COUNT_AT: usize = 8;
const IDS_AT: usize = 32;
/// Of an id: whose it is, of which kind, and how many bytes its value has.
const HEAD_BYTES: usize = 12;

/// The pid in an answer. A client over TCP has none.
///
/// # Errors
/// There are fewer bytes than it says.
pub(super) fn client_pid(reply: &[u8]) -> Result<Option<u32>, ParseError> {
    let mut ids = reply.get(IDS_AT..).ok_or(ParseError::InsufficientData)?;
    for _ in 0..u32_at(reply, COUNT_AT)? {
        let (kind, bytes) = (u32_at(ids, 4)?, u32_at(ids, 8)?);
        let rest = &ids[HEAD_BYTES..];
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let (value, after) = rest.split_at_checked(bytes).ok_or(ParseError::InsufficientData)?;
        if kind == u32::from(ClientIdMask::LOCAL_CLIENT_PID) {
            return Ok(u32_at(value, 0).ok());
        }
        ids = after;
    }
    Ok(None)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ParseError> {
    let found = bytes.get(at..at + 4).and_then(|found| found.try_into().ok());
    found.map(u32::from_ne_bytes).ok_or(ParseError::InsufficientData)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(count: u32, words: &[u32]) -> Vec<u8> {
        let mut reply = vec![0; IDS_AT];
        reply[COUNT_AT..][..4].copy_from_slice(&count.to_ne_bytes());
        reply.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        reply
    }

    #[test]
    fn the_pid_is_the_value_of_the_id_of_that_kind() {
        let ids = [7, 1, 4, 99, 7, 2, 4, 4711];
        assert_eq!(client_pid(&reply(2, &ids)), Ok(Some(4711)));
        assert_eq!(client_pid(&reply(1, &ids)), Ok(None));
        assert_eq!(client_pid(&reply(0, &[])), Ok(None));
        assert_eq!(client_pid(&reply(1, &[7, 2, 0])), Ok(None));
    }

    #[test]
    fn what_says_that_there_is_more_than_it_has_is_an_error() {
        for wrong in [reply(u32::MAX, &[]), reply(1, &[7, 2]), reply(1, &[7, 2, u32::MAX, 1])] {
            assert_eq!(client_pid(&wrong), Err(ParseError::InsufficientData));
        }
        assert_eq!(client_pid(&[1; 9]), Err(ParseError::InsufficientData));
    }
}
