//! The screen of a dev server once it is ready: what to do next, with the server's address.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
};

use crate::{
    config::{Config, LogFormat},
    dev,
};

/// Shows it on standard error for persons; standard output is for scripts. An error here has no consequences.
pub(crate) fn show(config: &Config, data_dir: &Path, address: SocketAddr) {
    if config.dev && config.log.format == LogFormat::Text {
        let shipped = config.policy.as_ref().is_some_and(|policy| policy.path == Path::new(dev::POLICY_NAME));
        let _ = write!(io::stderr(), "{}", screen(&data_dir.display().to_string(), address, shipped));
    }
}

/// `shipped`: the policy is that of a new dev server.
fn screen(data_dir: &str, address: SocketAddr, shipped: bool) -> String {
    let tool = if shipped { "billing" } else { "TOOL" };
    let or_name = if shipped { "" } else { "; TOOL is one that your policy names" };
    format!(
        r#"
What to do next, in another terminal:

  A credential for one tool and five minutes{or_name}:
    curl -sS http://{address}/issue -H 'content-type: application/json' \
      -d '{{"tool":"{tool}","sponsor_id":"alice","ttl":300}}'
  An agent's day on one screen, played on this server:
    countersign demo --address {address} --data-dir {data_dir}
  What this server offers: http://{address}/
  Documentation: README.md, docs/guard-your-first-tool.md, docs/operating.md

  API keys are in {data_dir}:
    rita.key registers sponsors, oscar.key approves them, first-admin.key makes operators
  Ctrl-C stops the server. Its data stays in that folder; the next start finds it.

"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_port_in_use_and_a_tool_that_there_is() {
        let address = "127.0.0.1:18080".parse().unwrap();
        let shipped = screen("/data", address, true);
        assert!(
            shipped.contains("http://127.0.0.1:18080/issue") && shipped.contains(r#""tool":"billing""#),
            "{shipped}"
        );
        assert!(shipped.contains("demo --address 127.0.0.1:18080 --data-dir /data"), "{shipped}");
        let own = screen("/data", address, false);
        assert!(own.contains(r#""tool":"TOOL""#) && !own.contains("billing"), "{own}");
        assert!(shipped.lines().chain(own.lines()).all(|line| line.len() <= 100), "{shipped}");
    }
}
