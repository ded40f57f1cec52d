//! What a message costs over TCP on the loopback, which is as near as one machine comes to a
//! network. It measures; no training sends anything this way.

use anyhow::Context;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use train::statistics::median;

/// Bytes of a message, from one that is latency alone to one that is bytes alone.
const SIZES: [usize; 8] = [8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20];
/// Messages there and back of each size, after one that nobody counts.
const REPEATS: usize = 25;
/// A loopback that takes longer for a message than this is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a message, and the seconds it takes one way: half of there and back, the median.
///
/// # Errors
/// If the loopback cannot be used.
pub fn loopback() -> anyhow::Result<Vec<(f64, f64)>> {
    let context = "cannot measure messages over TCP on 127.0.0.1; is the loopback up?";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context(context)?;
    let mut stream = TcpStream::connect(listener.local_addr()?).context(context)?;
    let (other, _) = listener.accept().context(context)?;
    for end in [&stream, &other] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    thread::scope(|scope| {
        let echo = scope.spawn(move || echo(other));
        let measured = measure(&mut stream).context(context);
        drop(stream); // so that the other end sees the end, whatever happened
        let echoed = echo.join().expect("it does not panic");
        let measured = measured?;
        echoed.context(context)?;
        Ok(measured)
    })
}

fn measure(stream: &mut TcpStream) -> std::io::Result<Vec<(f64, f64)>> {
    let of_size = |&size: &usize| {
        let mut bytes = vec![0; size];
        let mut seconds = Vec::new();
        for turn in 0..=REPEATS {
            let start = Instant::now();
            stream.write_all(&bytes)?;
            stream.read_exact(&mut bytes)?;
            if turn > 0 {
                seconds.push(start.elapsed().as_secs_f64() / 2.0);
            }
        }
        Ok((size as f64, median(&seconds)))
    };
    SIZES.iter().map(of_size).collect()
}

/// Sends back each message of [`measure`], when the whole of it is there.
fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    for size in SIZES {
        let mut bytes = vec![0; size];
        for _ in 0..=REPEATS {
            stream.read_exact(&mut bytes)?;
            stream.write_all(&bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use train::alpha_beta::Link;

    #[test]
    fn messages_on_the_loopback_take_longer_the_longer_they_are_and_fit_a_link() {
        let messages = loopback().unwrap();
        assert_eq!(messages.len(), SIZES.len());
        assert!(messages[0].1 < messages[SIZES.len() - 1].1, "{messages:?}");
        let link = Link::fit(&messages).unwrap();
        assert!(link.latency > 0.0 && link.latency < 0.1, "{link:?}");
        assert!(link.per_byte < 1e-6, "{link:?}");
    }
}
