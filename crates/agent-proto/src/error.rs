//! Error codes that cross the border: in the details of a gRPC status, never in its text.

use prost::Message as _;
use tonic::{Code, Status};

use crate::v1::{ErrorDetail, error_detail};

/// A status that carries `code` and a text for people.
#[must_use]
pub fn status(code: error_detail::Code, message: impl Into<String>) -> Status {
    use error_detail::Code as E;
    let message = message.into();
    let grpc = match code {
        E::NotFound => Code::NotFound,
        E::CommandNotFound | E::CommandNotExecutable | E::NoSuchUser | E::Workdir | E::BadSpec => {
            Code::InvalidArgument
        }
        E::NotRunning | E::AlreadyRunning | E::LayerInUse | E::NotATty => Code::FailedPrecondition,
        E::Unknown | E::DataDisk | E::Network => Code::Internal,
        E::NoSuchPath => Code::NotFound,
        E::NotADirectory | E::ReadOnly | E::Busy => Code::FailedPrecondition,
    };
    let detail = ErrorDetail { code: code.into(), message: message.clone() };
    Status::with_details(grpc, message, detail.encode_to_vec().into())
}

/// The code that `status` carries; `Unknown` when it carries none.
#[must_use]
pub fn code_of(status: &Status) -> error_detail::Code {
    ErrorDetail::decode(status.details()).map_or(error_detail::Code::Unknown, |detail| detail.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_status() {
        let status = status(error_detail::Code::CommandNotFound, "no such file");
        assert_eq!(code_of(&status), error_detail::Code::CommandNotFound);
        assert_eq!(status.message(), "no such file");
        assert_eq!(code_of(&Status::internal("x")), error_detail::Code::Unknown);
    }
}
