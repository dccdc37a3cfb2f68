// An API server for tests: Kubernetes' own library k8s.io/apiserver answers lists and watches, from its watch cache and etcd.
//
// What the kinds of objects mean is in kinds.go, for Debian has no newer kube-apiserver whose rules could be taken.
// Who has a token may do everything.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os/signal"
	"syscall"

	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/compatibility"
)

var (
	etcd        = flag.String("etcd-servers", "", "etcd's URL")
	port        = flag.Int("secure-port", 0, "where it listens on 127.0.0.1")
	certificate = flag.String("tls-cert-file", "", "the server's certificate")
	key         = flag.String("tls-private-key-file", "", "its key")
	tokens      = flag.String("token-auth-file", "", "lines of token, name, UID, groups")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	config, err := configure()
	if err != nil {
		return err
	}
	made, err := config.Complete(nil).New("library-server", server.NewEmptyDelegate())
	if err != nil {
		return err
	}
	if err := install(made, config.RESTOptionsGetter); err != nil {
		return err
	}
	return made.PrepareRun().RunWithContext(ctx)
}

func configure() (*server.Config, error) {
	config := server.NewConfig(codecs)
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	config.PublicAddress = net.IPv4(127, 0, 0, 1)
	namer := openapi.NewDefinitionNamer(scheme)
	config.OpenAPIV3Config = server.DefaultOpenAPIV3Config(describe, namer)
	authenticator, err := tokenfile.NewCSV(*tokens)
	if err != nil {
		return nil, err
	}
	config.Authentication.Authenticator = group.NewAuthenticatedGroupAdder(bearertoken.New(authenticator))
	config.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	serving := options.NewSecureServingOptions()
	serving.BindAddress, serving.BindPort = config.PublicAddress, *port
	serving.ServerCert.CertKey = options.CertKey{CertFile: *certificate, KeyFile: *key}
	if err := serving.WithLoopback().ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	backend := storagebackend.NewDefaultConfig("/registry", codecs.LegacyCodec(versions...))
	backend.Transport.ServerList = []string{*etcd}
	return config, options.NewEtcdOptions(backend).ApplyTo(config)
}
