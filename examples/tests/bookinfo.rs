//! A shortened walk through Bookinfo, on real sockets.

use mesh_examples::bookinfo::{Options, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_does_what_the_yaml_says_and_no_page_fails() {
    let outcome = run(Options { rate: 200, pages: 200, ..Options::default() }).await.unwrap();
    assert_eq!(outcome.wrong, Vec::<String>::new());
    assert_eq!(outcome.failed, 0);
    assert!(outcome.pages >= 7 * 200, "{}", outcome.pages);
}
