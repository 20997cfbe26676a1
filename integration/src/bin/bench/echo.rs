//! The cost of tonic alone: a bare handler that accepts Decide's request and returns a prepared answer of Decide's
//! size. It runs in a separate process, as the server does.

use std::{io::Write as _, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use countersign_proto::v1::{
    BatchDecideRequest, BatchDecideResponse, DecideRequest, DecideResponse, ExplainDecisionRequest,
    ExplainDecisionResponse, GetDecisionRequest, GetDecisionResponse, ListDecisionsRequest, ListDecisionsResponse,
    decision_service_server::{DecisionService, DecisionServiceServer},
};
use prost::Message as _;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::Result;

/// The hidden command.
pub(crate) const COMMAND: &str = "echo-server";

/// The arguments of the hidden command.
#[derive(Debug, clap::Args)]
pub(crate) struct EchoArgs {
    /// Threads that run requests.
    #[arg(long)]
    threads: usize,
    /// The answer, encoded and in base64.
    #[arg(long)]
    answer: String,
}

struct Echo {
    answer: DecideResponse,
}

#[tonic::async_trait]
impl DecisionService for Echo {
    async fn decide(&self, _: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn batch_decide(&self, _: Request<BatchDecideRequest>) -> Result<Response<BatchDecideResponse>, Status> {
        Err(only_decide())
    }

    async fn get_decision(&self, _: Request<GetDecisionRequest>) -> Result<Response<GetDecisionResponse>, Status> {
        Err(only_decide())
    }

    async fn list_decisions(
        &self,
        _: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        Err(only_decide())
    }

    async fn explain_decision(
        &self,
        _: Request<ExplainDecisionRequest>,
    ) -> Result<Response<ExplainDecisionResponse>, Status> {
        Err(only_decide())
    }
}

fn only_decide() -> Status {
    Status::unimplemented("the echo answers Decide only")
}

/// Runs the echo until it is killed. Prints its address when it serves.
pub(crate) fn serve(args: &EchoArgs) -> Result<()> {
    let bytes = STANDARD.decode(&args.answer)?;
    let answer = DecideResponse::decode(bytes.as_slice())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
    // On a worker thread, as every connection is; the main thread would be an additional one.
    runtime.block_on(runtime.spawn(async move {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        Server::builder()
            .add_service(DecisionServiceServer::new(Echo { answer }))
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    }))?
}

/// The echo's process; killed when dropped.
#[derive(Debug)]
pub(crate) struct EchoServer {
    process: Child,
    /// Its address, as a URL.
    pub(crate) url: String,
}

impl EchoServer {
    /// Starts this program again, as the echo.
    pub(crate) async fn start(answer: &DecideResponse, threads: usize) -> Result<Self> {
        let answer = STANDARD.encode(answer.encode_to_vec());
        let mut process = Command::new(std::env::current_exe()?)
            .args([COMMAND, "--threads", &threads.to_string(), "--answer", &answer])
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("the echo has no output")?;
        let address = BufReader::new(stdout).lines().next_line().await?.ok_or("the echo ended at once")?;
        Ok(Self { process, url: format!("http://{address}") })
    }

    /// Its process id. `None` once it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }
}
