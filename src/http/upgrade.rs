//! Connections that ask to become a socket. actix-http keeps two buffers of 8 KiB for each connection that it serves, of
//! which an idle socket would hold half for nothing. It gives these away after their request, which the same app answers
//! as any other; what follows goes straight between the kernel and the body of the answer.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_codec::{Encoder, Framed};
use actix_http::body::MessageBody;
use actix_http::error::PayloadError;
use actix_http::h1::{Codec, Message};
use actix_http::{BoxedPayloadStream, ConnectionType, Request, Response};
use actix_web::Error;
use actix_web::dev::{Service, ServiceFactory, ServiceResponse, fn_factory, fn_service};
use actix_web::rt::net::TcpStream;
use actix_web::web::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use socket2::SockRef;

/// How long a peer has to hang up once everything was sent.
pub const LINGER: Duration = Duration::from_secs(1);
/// What is read at a time. tokio lets a task read 128 times before it must yield: 512 KB are the most that one poll of a
/// session may find, and its limit on frames ends it long before it has taken them all.
const PART: usize = 4 << 10;

/// What actix-http hands such connections to.
pub fn service<A, B>(
    app: A,
) -> impl ServiceFactory<(Request, Framed<TcpStream, Codec>), Config = (), Response = (), Error = Error, InitError = ()>
where
    A: ServiceFactory<Request, Config = (), Response = ServiceResponse<B>, Error = Error, InitError = ()>,
    A::Future: 'static,
    A::Service: 'static,
    B: MessageBody,
{
    fn_factory(move || {
        let app = app.new_service(());
        async move {
            let app = Rc::new(app.await?);
            Ok(fn_service(move |(request, framed)| {
                let app = Rc::clone(&app);
                async move {
                    if let Err(error) = serve(&*app, request, framed).await {
                        tracing::debug!(%error, "a connection was lost");
                    }
                    Ok(())
                }
            }))
        }
    })
}

type Ended = Result<(), Box<dyn StdError>>;

async fn serve<A, B>(app: &A, request: Request, framed: Framed<TcpStream, Codec>) -> Ended
where
    A: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let parts = framed.into_parts();
    let stream = Rc::new(parts.io);
    // Copied, so that the buffer goes.
    let received = Received { stream: Rc::clone(&stream), early: Bytes::copy_from_slice(&parts.read_buf) };
    drop(parts.read_buf);
    let payload: BoxedPayloadStream = Box::pin(received);
    let (request, _) = request.replace_payload(payload.into());
    match app.call(request).await {
        Ok(response) => answer(response.into(), &stream, parts.codec, parts.write_buf).await?,
        Err(error) => answer(error.error_response().into(), &stream, parts.codec, parts.write_buf).await?,
    }
    hang_up(stream).await
}

/// Sends a response, behind what stands in `out`. As long as its body has nothing to say, no buffer is kept.
async fn answer<B: MessageBody>(
    response: Response<B>,
    stream: &TcpStream,
    mut codec: Codec,
    mut out: BytesMut,
) -> Ended {
    let (mut head, body) = response.into_parts();
    if !head.upgrade() {
        head.head_mut().set_connection_type(ConnectionType::Close);
    }
    codec.encode(Message::Item((head, body.size())), &mut out)?;
    let mut body = pin!(body);
    loop {
        send(stream, &out).await?;
        out = BytesMut::new();
        match poll_fn(|cx| body.as_mut().poll_next(cx)).await {
            Some(part) => codec.encode(Message::Chunk(Some(part.map_err(Into::into)?)), &mut out)?,
            None => break,
        }
    }
    codec.encode(Message::Chunk(None), &mut out)?;
    send(stream, &out).await
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> Ended {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Closes the connection once the peer has: it would lose what it has not read yet if it had said more than was read.
async fn hang_up(stream: Rc<TcpStream>) -> Ended {
    SockRef::from(&*stream).shutdown(Shutdown::Write)?;
    let mut rest = Received { stream, early: Bytes::new() };
    let hung_up = async { while let Some(Ok(_)) = rest.next().await {} };
    // A peer that talks on is cut off.
    let _ = tokio::time::timeout(LINGER, hung_up).await;
    Ok(())
}

/// What the peer says after its request.
struct Received {
    stream: Rc<TcpStream>,
    /// What came together with the request.
    early: Bytes,
}

impl Stream for Received {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.early.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.early))));
        }
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let mut part = [0; PART];
            match self.stream.try_read(&mut part) {
                Ok(0) => return Poll::Ready(None),
                Ok(read) => return Poll::Ready(Some(Ok(Bytes::copy_from_slice(&part[..read])))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}
