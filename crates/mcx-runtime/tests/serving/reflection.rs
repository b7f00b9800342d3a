//! Reflection in both versions, as grpcurl uses it.

use mcx_federation::Listener;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::ServerConfig;
use mcx_types::Entity;
use tonic::Code;
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{SERVICE, System, TestService};

macro_rules! reflect {
    ($version:ident, $channel:expr, $request:expr) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        let request = $version::ServerReflectionRequest {
            host: String::new(),
            message_request: Some($request(
                MessageRequest::ListServices,
                MessageRequest::FileContainingSymbol,
            )),
        };
        let mut answers = ServerReflectionClient::new($channel)
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap()
            .into_inner();
        answers.message().await
    }};
}

macro_rules! listed {
    ($version:ident, $channel:expr) => {{
        use $version::server_reflection_response::MessageResponse;
        let list = |list: fn(String) -> _, _: fn(String) -> _| list(String::new());
        let answer = reflect!($version, $channel, list).unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let mut names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        names.sort();
        names
    }};
}

#[tokio::test]
async fn both_versions_list_what_is_served_and_nothing_else() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    let channel = system.channel(Entity::SipCore, server.address);
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        SERVICE,
    ];
    assert_eq!(listed!(v1, channel.clone()), expected);
    assert_eq!(listed!(v1alpha, channel), expected);
}

#[tokio::test]
async fn a_served_service_is_described_and_one_of_another_listener_is_not() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    let channel = system.channel(Entity::SipCore, server.address);

    let of_served = |_: fn(String) -> _, file: fn(String) -> _| file(SERVICE.to_owned());
    let answer = reflect!(v1, channel.clone(), of_served).unwrap().unwrap();
    assert!(format!("{answer:?}").contains("FileDescriptorResponse"), "{answer:?}");

    let of_import = |_: fn(String) -> _, file: fn(String) -> _| file("mcx.test.v1.Text".to_owned());
    let answer = reflect!(v1, channel.clone(), of_import).unwrap().unwrap();
    assert!(format!("{answer:?}").contains("FileDescriptorResponse"), "{answer:?}");

    let of_hidden = |_: fn(String) -> _, file: fn(String) -> _| file("mcx.test.v1.SecretService".to_owned());
    let hidden = reflect!(v1, channel, of_hidden);
    assert!(hidden.is_err_and(|status| status.code() == Code::NotFound));
}

#[tokio::test]
async fn a_service_that_no_descriptor_describes_is_refused_at_the_start() {
    let system = System::new();
    let readiness = Readiness::new("test");
    #[derive(Clone)]
    struct Undescribed(TestService);
    impl tonic::server::NamedService for Undescribed {
        const NAME: &'static str = "mcx.test.v1.Undescribed";
    }
    impl tower::Service<http::Request<tonic::body::Body>> for Undescribed {
        type Response = <TestService as tower::Service<http::Request<tonic::body::Body>>>::Response;
        type Error = std::convert::Infallible;
        type Future = <TestService as tower::Service<http::Request<tonic::body::Body>>>::Future;

        fn poll_ready(
            &mut self,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            tower::Service::poll_ready(&mut self.0, context)
        }

        fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
            tower::Service::call(&mut self.0, request)
        }
    }
    let server =
        system.server().add_service(Listener::Internal, Undescribed(TestService::echo()), &readiness);
    let error = server.bind().await.err().unwrap().to_string();
    assert!(error.contains("mcx.test.v1.Undescribed"), "{error}");
}
