//! The process's limit of open files.

use std::io;

/// Descriptors that are not connections: files, sockets, event queues of the runtimes.
const RESERVED: u64 = 128;

/// Raises the soft limit of open files to the hard one, and says how many connections fit.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let limit = read()?;
    if limit.rlim_cur < limit.rlim_max {
        write(&libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        })?;
    }
    Ok(read()?.rlim_cur.saturating_sub(RESERVED))
}

#[expect(unsafe_code, reason = "the standard library has no getrlimit")]
fn read() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit` that the call fills and does not keep.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 {
        Ok(limit)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "the standard library has no setrlimit")]
fn write(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live `rlimit` that the call only reads.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const *limit) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        super::raise_open_files().unwrap();
        let limit = super::read().unwrap();
        assert_eq!(limit.rlim_cur, limit.rlim_max);
    }
}
