//! A shortened walk through Bookinfo, on real sockets.

use mesh_examples::bookinfo::{Options, program, run};

async fn walk(options: Options) {
    let pages = options.pages;
    let outcome = run(options).await.unwrap();
    assert_eq!(outcome.wrong, Vec::<String>::new());
    assert_eq!(outcome.failed, 0);
    assert!(outcome.pages >= 7 * pages, "{}", outcome.pages);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_does_what_the_yaml_says_and_no_page_fails() {
    walk(Options { rate: 200, pages: 200, ..Options::default() }).await;
    // The same against a server, after it, so that the two are not in each other's way.
    let serve = Some(program().await.unwrap());
    walk(Options { serve, rate: 200, pages: 100, ..Options::default() }).await;
}
