//! The same over real sockets.

use crate::common::{Server, echo, get};
use http::Request;
use http_body_util::{BodyExt, Full};
use mesh_core::{Kind, Mesh};
use mesh_hyper::Client;
use mesh_testkit::net::Listener;

#[tokio::test]
async fn passing_through_to_a_socket() {
    for http2 in [false, true] {
        let listener = Listener::loopback().await.unwrap();
        let address = listener.local_address().unwrap();
        let port = address.rsplit_once(':').unwrap().1;
        let server = Server::http(listener, http2, echo);
        let mesh = Mesh::builder().build().unwrap();
        let builder = Client::builder(&mesh);
        let client = if http2 { builder.http2_prior_knowledge() } else { builder }.build();
        let large = vec![b'x'; 8 << 20];
        for host in ["127.0.0.1", "localhost"] {
            let request =
                Request::post(format!("http://{host}:{port}/")).body(Full::from(large.clone())).unwrap();
            let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(answer.to_bytes(), large);
        }
        assert_eq!(server.accepted(), 2, "one for each name");
        drop(server);
        let error = loop {
            // What is in the pool may answer nothing, but it must not answer.
            let error = get(&client, &format!("http://127.0.0.1:{port}/")).await.unwrap_err();
            if error.kind() == Kind::Unreachable {
                break error;
            }
        };
        assert_eq!(error.endpoint(), Some(format!("127.0.0.1:{port}").as_str()));
    }
}

#[tokio::test]
async fn many_calls_at_once_share_what_there_is() {
    let listener = Listener::loopback().await.unwrap();
    let url = format!("http://{}/", listener.local_address().unwrap());
    let server = Server::http(listener, true, echo);
    let mesh = Mesh::builder().build().unwrap();
    let client = Client::builder(&mesh).http2_prior_knowledge().build();
    let calls: Vec<_> = (0..500)
        .map(|number| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let body = number.to_string();
                let request = Request::post(url).body(Full::from(body.clone())).unwrap();
                let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap();
                assert_eq!(answer.to_bytes(), body);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(server.accepted() <= 10, "{}", server.accepted());
}
