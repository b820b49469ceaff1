//! The yardstick for reads: the same web server with a handler that returns a constant.

use actix_web::web::{Bytes, Data, Path};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Result;

/// Maximum response length in bytes.
const LENGTH_MAX: usize = 1 << 20;

async fn constant(length: Path<usize>, body: Data<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(body.slice(..length.into_inner().min(LENGTH_MAX)))
}

/// Serves `GET /constant/{length}` until the process receives a shutdown signal.
pub fn serve() -> Result<()> {
    actix_web::rt::System::new().block_on(async {
        let body = Data::new(Bytes::from(vec![b' '; LENGTH_MAX]));
        let app = move || App::new().app_data(body.clone()).route("/constant/{length}", web::get().to(constant));
        let server = HttpServer::new(app).bind("127.0.0.1:0")?;
        println!("listening on http://{}", server.addrs()[0]);
        Ok(server.run().await?)
    })
}
