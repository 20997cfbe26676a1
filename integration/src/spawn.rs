//! Child processes that never outlive this one.

use std::{
    io,
    path::Path,
    process::{Child, Command, Stdio, id},
    sync::{OnceLock, mpsc},
    thread,
};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A command that runs `program`, a server, with `args` when [`spawn`] spawns it: through its launcher, which asks the
/// kernel for SIGINT, a graceful stop, when this process ends for any reason.
pub(crate) fn command<'a>(program: &Path, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(program);
    command.arg("postgres-child").arg("--parent").arg(id().to_string()).arg(program).args(args).stdin(Stdio::null());
    command
}

/// Spawns from one thread that lives as long as this process, because the kernel watches the thread, and the threads of
/// a test runtime end with their test.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                // The caller waits for the answer.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}
