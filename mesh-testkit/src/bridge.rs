//! gRPC streams of encoded messages, for servers that are scripted message by message.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};
use std::future::poll_fn;
use tokio::sync::mpsc;

/// Carries gRPC messages between an HTTP/2 stream and channels.
pub(crate) async fn bridge(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    requests: mpsc::Sender<Bytes>,
    mut responses: mpsc::Receiver<Bytes>,
) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap_or_default();
    let Ok(mut send) = respond.send_response(head, false) else { return };
    let receive = async move {
        let mut body = request.into_body();
        let mut buffer = bytes::BytesMut::new();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            buffer.extend_from_slice(&data);
            while let Some(length) =
                buffer.get(1..5).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes)
            {
                let end = 5 + length as usize;
                if buffer.len() < end {
                    break;
                }
                let message = buffer.split_to(end).freeze().slice(5..);
                if requests.send(message).await.is_err() {
                    return;
                }
            }
        }
    };
    let transmit = async move {
        while let Some(message) = responses.recv().await {
            let mut framed = Vec::with_capacity(5 + message.len());
            framed.push(0);
            framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
            framed.extend_from_slice(&message);
            let mut framed = Bytes::from(framed);
            while !framed.is_empty() {
                send.reserve_capacity(framed.len());
                match poll_fn(|cx| send.poll_capacity(cx)).await {
                    Some(Ok(_)) => {}
                    _ => return,
                }
                let part = framed.split_to(send.capacity().min(framed.len()));
                if send.send_data(part, false).is_err() {
                    return;
                }
            }
        }
        let trailers = [("grpc-status", "0")].map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        let _ = send.send_trailers(trailers.into_iter().collect());
    };
    tokio::select! {
        () = receive => {}
        () = transmit => {}
    }
}
