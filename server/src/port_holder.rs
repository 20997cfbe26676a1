//! Finds the process that uses a port, where the machine shows it: on Linux, in /proc.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The state of a listening socket in the kernel's tables.
const LISTENS: &str = "0A";

/// The process that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The program's name.
    name: String,
    pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The process that uses `address`. `None` if the machine does not show it, because the process belongs to another user
/// or is in another namespace.
pub(crate) fn of(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let inodes: Vec<String> = tables.flat_map(|table| listening(&table, address)).collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(process.path().join("fd")).ok()?;
        let holds = files.filter_map(Result::ok).any(|file| {
            fs::read_link(file.path()).is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
        });
        let name = || fs::read_to_string(process.path().join("comm")).ok();
        holds.then(|| Holder { name: name().map(|name| shown(&name)).unwrap_or_default(), pid })
    })
}

/// A name that another program chose, for a terminal.
fn shown(name: &str) -> String {
    name.trim_end().chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// The sockets in `table` that prevent listening on `address`, in the form in which links of open files name them.
fn listening(table: &str, address: SocketAddr) -> Vec<String> {
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (held, port) = local.split_once(':')?;
        let held = ip(held)?;
        let overlap = held == address.ip() || held.is_unspecified() || address.ip().is_unspecified();
        let same = u16::from_str_radix(port, 16).ok()? == address.port() && state == LISTENS && overlap;
        let inode = fields.nth(5)?;
        same.then(|| format!("socket:[{inode}]"))
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// An address in the tables' form: 32-bit words in the machine's byte order, in hexadecimal.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
           1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n\
           2: 0100007F:1F92 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n\
         nonsense\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_that_listen_where_they_are_in_the_way_are_found() {
        for (address, found) in [
            ("127.0.0.1:8080", vec!["socket:[4711]"]),
            ("0.0.0.0:8080", vec!["socket:[4711]"]),
            ("127.0.0.2:8080", vec![]),
            ("127.0.0.1:8081", vec!["socket:[4712]"]),
            ("127.0.0.1:8082", vec![]),
            ("127.0.0.1:8083", vec![]),
        ] {
            assert_eq!(listening(TABLE, address.parse().unwrap()), found, "{address}");
        }
        assert_eq!(ip("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found_by_its_own_port() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(local) else { continue };
            let holder = of(listener.local_addr().unwrap()).unwrap();
            assert_eq!(holder.pid, std::process::id());
        }
    }
}
