//! `serve --dev --container`: which address the programs of the machine around a container call from.

use std::{fs, net::Ipv4Addr};

/// Where Linux lists the routes of this network namespace.
const ROUTES: &str = "/proc/net/route";

/// The gateway of the default route. Calls over a published port that begin on the machine around the container arrive
/// from there; calls of other machines keep their own address. `None` if there is no such route.
pub(crate) fn gateway() -> Option<Ipv4Addr> {
    of_routes(&fs::read_to_string(ROUTES).ok()?)
}

/// The line to 0.0.0.0/0 through a gateway. Addresses are 32-bit words in the machine's byte order.
fn of_routes(table: &str) -> Option<Ipv4Addr> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let word = |nth: usize| u32::from_str_radix(fields.get(nth)?, 16).ok();
        let (to, gateway, mask) = (word(1)?, word(2)?, word(7)?);
        (to == 0 && mask == 0 && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_that_of_the_default_route() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let word = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let (bridge, network) = (word([172, 17, 0, 1]), word([172, 17, 0, 0]));
        let own = format!("eth0\t{network}\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n");
        let default = format!("eth0\t00000000\t{bridge}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
        assert_eq!(of_routes(&format!("{head}{own}{default}")), Some(Ipv4Addr::new(172, 17, 0, 1)));
        for none in [String::new(), head.to_owned(), format!("{head}{own}"), format!("{head}nonsense\n")] {
            assert_eq!(of_routes(&none), None, "{none}");
        }
    }
}
