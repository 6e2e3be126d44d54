//! A shortened walk through Bookinfo, on real sockets.

use mesh_examples::bookinfo::{Options, run};

async fn walk(serve: bool) {
    let outcome = run(Options { rate: 200, pages: 200, serve, ..Options::default() }).await.unwrap();
    assert_eq!(outcome.wrong, Vec::<String>::new());
    assert_eq!(outcome.failed, 0);
    assert!(outcome.pages >= 7 * 200, "{}", outcome.pages);
}

// One after the other, so that neither is short of time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_does_what_the_yaml_says_and_no_page_fails_embedded_and_served() {
    walk(false).await;
    walk(true).await;
}
