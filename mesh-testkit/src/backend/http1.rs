//! The HTTP/1.1 side of a backend.

use super::{Behavior, Command, Counted, NAME_HEADER, Shared};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use mesh_core::net::Io;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::broadcast;

pub(super) async fn serve_http1(shared: &Arc<Shared>, io: Io, mut commands: broadcast::Receiver<Command>) {
    let (hang_up, mut hung_up) = broadcast::channel::<()>(1);
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
        answer_http1(shared.clone(), request, hang_up.clone())
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            _ = &mut connection => return,
            _ = hung_up.recv() => return,
            Ok(command) = commands.recv() => match command {
                Command::GoAway => connection.as_mut().graceful_shutdown(),
                Command::HangUp => return,
            },
        }
    }
}

async fn answer_http1(
    shared: Arc<Shared>,
    request: Request<hyper::body::Incoming>,
    hang_up: broadcast::Sender<()>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _in_flight = Counted::new(&shared.in_flight);
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    shared.note(&Request::from_parts(head, ()));
    let behavior = shared.decide().await;
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let status = match behavior {
        Behavior::HttpStatus(status) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Behavior::Echo | Behavior::Slow(_) => StatusCode::OK,
        _ => {
            drop(hang_up.send(()));
            pending().await
        }
    };
    let answer = if body.is_empty() {
        let mut text = BytesMut::from(shared.name.as_bytes());
        text.extend_from_slice(b" ");
        text.extend_from_slice(path.as_bytes());
        text.freeze()
    } else {
        body
    };
    let mut response = Response::new(Full::new(answer));
    *response.status_mut() = status;
    if let Ok(name) = HeaderValue::from_str(&shared.name) {
        response.headers_mut().insert(NAME_HEADER, name);
    }
    Ok(response)
}
