//! Whether a GigE Vision camera answers, and whether anybody has control of it.
//!
//! One question of GigE Vision's control protocol, to which any camera answers anybody: what stands
//! in the register of the control channel's privilege. Aravis asks the same on its own, but takes
//! seconds until it gives a camera up, and gives no way to ask it sooner.
//!
//! ```text
//! question  42 | 01 answer wanted | 0080 read register | 0004 bytes | number | 00000A00
//! answer    0000 status | 0081 | 0004 bytes | number | privilege          all big-endian
//! ```

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing, or nothing that such a camera says.
    Silence,
    /// A camera that nobody controls.
    Free,
    /// A camera that somebody controls, or that will not tell.
    Controlled,
}

const PORT: u16 = 3956;
const QUESTION: [u8; 6] = [0x42, 0x01, 0x00, 0x80, 0x00, 0x04];
const PRIVILEGE_REGISTER: u32 = 0x0A00;
/// Control, and exclusive access.
const CONTROL_BITS: u32 = 0x3;
const READ_REGISTER_ANSWER: u16 = 0x0081;
/// How long an answer may take, and how often it is asked for: a question can get lost.
const WAIT: Duration = Duration::from_millis(150);
const TRIES: u16 = 2;

/// Asks the camera at `host`. Takes [`WAIT`] times [`TRIES`] at most.
pub(super) fn knock(host: Ipv4Addr) -> Answer {
    for number in 1..=TRIES {
        // A host without a camera says so at once, which is silence too.
        if let Ok(Some(answer)) = ask(host, number) {
            return answer;
        }
    }
    Answer::Silence
}

fn ask(host: Ipv4Addr, number: u16) -> io::Result<Option<Answer>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((host, PORT))?;
    let mut question = QUESTION.to_vec();
    question.extend(number.to_be_bytes());
    question.extend(PRIVILEGE_REGISTER.to_be_bytes());
    socket.send(&question)?;
    let end = Instant::now() + WAIT;
    let mut datagram = [0; 64];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        let n = socket.recv(&mut datagram)?;
        if let Some(answer) = answer(&datagram[..n], number) {
            return Ok(Some(answer));
        }
    }
}

/// What a datagram says to question `number`; `None` where it is about something else.
fn answer(datagram: &[u8], number: u16) -> Option<Answer> {
    let two = |at: usize| {
        let bytes = datagram.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    if two(2)? != READ_REGISTER_ANSWER || two(6)? != number {
        return None;
    }
    if two(0)? != 0 {
        return Some(Answer::Controlled);
    }
    let privilege = u32::from(two(8)?) << 16 | u32::from(two(10)?);
    Some(if privilege & CONTROL_BITS == 0 {
        Answer::Free
    } else {
        Answer::Controlled
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_to_its_own_question() {
        let free = [0, 0, 0, 0x81, 0, 4, 0, 7, 0, 0, 0, 0];
        assert_eq!(answer(&free, 7), Some(Answer::Free));
        assert_eq!(answer(&free, 8), None);
        assert_eq!(answer(&free[..11], 7), None);
        let mut taken = free;
        taken[11] = 2;
        assert_eq!(answer(&taken, 7), Some(Answer::Controlled));
        // Access denied is an answer too, and has no value.
        assert_eq!(
            answer(&[0x80, 0x06, 0, 0x81, 0, 0, 0, 7], 7),
            Some(Answer::Controlled)
        );
        assert_eq!(answer(b"GET / HTTP/1.1", 7), None);
        assert_eq!(answer(&[], 7), None);
    }
}
