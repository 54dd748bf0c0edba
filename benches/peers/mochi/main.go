// A broker built on the library mochi-mqtt, with the listener and the permissions of the benchmark.
//
// usage: mochi PORT AUTHORITY.pem CERTIFICATE.pem KEY.pem
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const collector = "collector"

// permissions lets each client do what its certificate's common name may.
type permissions struct {
	mqtt.HookBase
}

func (*permissions) ID() string { return "permissions" }

func (*permissions) Provides(which byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck}, []byte{which})
}

func (*permissions) OnConnectAuthenticate(client *mqtt.Client, _ packets.Packet) bool {
	connection, ok := client.Net.Conn.(*tls.Conn)
	if !ok {
		return false
	}
	chain := connection.ConnectionState().PeerCertificates
	return len(chain) > 0 && chain[0].Subject.CommonName == client.ID
}

func (*permissions) OnACLCheck(client *mqtt.Client, topic string, write bool) bool {
	if client.ID == collector {
		if write {
			return topic == "load/all/command"
		}
		return topic == "load/+/telemetry" ||
			strings.HasPrefix(topic, "load/") && strings.HasSuffix(topic, "/telemetry")
	}
	if write {
		return topic == "load/"+client.ID+"/telemetry"
	}
	return topic == "load/all/command" || strings.HasPrefix(topic, "load/"+client.ID+"/many/")
}

func run(port, authority, certificate, key string) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", authority)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = 1 << 20
	capabilities.MaximumInflight = 65535
	capabilities.ReceiveMaximum = 65535
	server := mqtt.New(&mqtt.Options{
		Capabilities: capabilities,
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err := server.AddHook(new(permissions), nil); err != nil {
		return err
	}
	listener := listeners.NewTCP(listeners.Config{
		ID:      "mqtts",
		Address: "127.0.0.1:" + port,
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{pair},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    roots,
		},
	})
	if err := server.AddListener(listener); err != nil {
		return err
	}
	if err := server.Serve(); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	return server.Close()
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: mochi PORT AUTHORITY.pem CERTIFICATE.pem KEY.pem")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
