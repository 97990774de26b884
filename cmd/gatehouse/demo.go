package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/ldapstore/demodir"
	"gatehouse/oidc/clients"
)

const demoHelp = `Starts Gatehouse on an embedded directory of an invented office, with two
applications and a television to sign in to. Everything lives in a temporary folder and is gone
when the program ends; nothing of this machine is read or changed. Everything but
the directory and the applications is what runs in production.`

func newDemoCommand(env *environment) *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try it out: an office, two applications, ready to sign in",
		Long:  demoHelp,
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out, d.now = env.stdout, env.now
			var log slog.Handler = slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelInfo})
			switch {
			case d.quiet:
				log = slog.DiscardHandler
			case !d.requests:
				log = eventful{log}
			}
			d.log = slog.New(log)
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:8080", "loopback `address` to answer on; a free port is taken if it is in use")
	cmd.Flags().StringVar(&d.apps, "apps", "127.0.0.1:8081", "loopback `address` of the two applications")
	cmd.Flags().BoolVar(&d.requests, "requests", false, "log every request, not only what comes of it")
	cmd.Flags().BoolVar(&d.quiet, "quiet", false, "show no log")
	return cmd
}

// demo is one demonstration.
type demo struct {
	listen, apps string
	requests     bool // log each
	quiet        bool
	out          io.Writer
	log          *slog.Logger
	now          func() time.Time
	ready        func(issuer, apps string) // for tests
}

// demoApp is one of the applications.
type demoApp struct {
	id, title, intro, show string
	client                 map[string]any // beyond what every client file has
	secret                 string
}

// demoApps are one application for everybody on the staff and one for the
// book-keepers only.
func demoApps(base string) []*demoApp {
	group := func(name string) string { return "cn=" + name + ",ou=groups," + base }
	usual := []string{"profile", "email", "groups"}
	return []*demoApp{
		{
			id: "wiki", title: "Wiki", intro: "Where the office writes down what it knows.",
			show: "for all of the staff; asks first whether it may know you",
			client: map[string]any{"consent": "remembered", "scopes": map[string]any{
				"everyone": []string{"openid"}, "groups": map[string]any{group("staff"): usual},
			}},
		},
		{
			id: "accounts", title: "Accounts", intro: "Invoices and salaries.",
			show: "for book-keeping only; anybody else is refused",
			client: map[string]any{"consent": "none", "allowed_groups": []string{group("book-keeping")}, "scopes": map[string]any{
				"everyone": append([]string{"openid"}, usual...),
			}},
		},
	}
}

// demoTV is the television: a device without a browser.
const demoTV = "tv"

// run starts directory, server and applications, tells where to click, and
// answers until ctx ends.
func (d *demo) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demonstration: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	people, err := demodir.Start(ctx, demodir.Options{Now: d.now})
	if err != nil {
		return fmt.Errorf("start the directory: %w", err)
	}
	defer people.Close()
	listener, err := listenNear(ctx, d.listen)
	if err != nil {
		return err
	}
	appListener, err := listenNear(ctx, d.apps)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	issuer, apps := "http://"+listener.Addr().String(), "http://"+appListener.Addr().String()

	all := demoApps(people.BaseDN)
	file, err := writeDemo(dir, issuer, apps, people, all)
	if err != nil {
		return errors.Join(err, listener.Close(), appListener.Close())
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		return errors.Join(err, listener.Close(), appListener.Close())
	}
	h, err := newHouse(ctx, cfg, d.log, d.now)
	if err != nil {
		return errors.Join(err, listener.Close(), appListener.Close())
	}
	defer func() { err = errors.Join(err, h.close()) }()

	appServer := &http.Server{Handler: d.appHandler(ctx, issuer, apps, all), ReadHeaderTimeout: 10 * time.Second}
	var group sync.WaitGroup
	group.Go(func() {
		if err := appServer.Serve(appListener); !errors.Is(err, http.ErrServerClosed) {
			d.log.ErrorContext(ctx, "the applications ended", slog.String("error", err.Error()))
		}
	})
	defer group.Wait()
	defer func() { _ = appServer.Close() }()
	d.tell(issuer, apps, people, all)
	if d.ready != nil {
		d.ready(issuer, apps)
	}
	return h.serveOn(ctx, listener)
}

// listenNear listens on address, or on a free port of its host if another program
// has it.
func listenNear(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %s: %w", address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, withHint(fmt.Errorf("the address %s is not a loopback address", address),
			"a demonstration with well-known passwords is for this machine only: use 127.0.0.1")
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		listener, err = config.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// writeDemo writes the configuration and the client files that an operator would
// write, and gives the applications their secrets.
func writeDemo(dir, issuer, apps string, people *demodir.Server, all []*demoApp) (file string, err error) {
	write := func(name string, content any) {
		var text []byte
		if err == nil {
			text, err = json.MarshalIndent(content, "", "  ") // which is YAML, too
		}
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
	}
	write("gatehouse.yaml", map[string]any{
		"issuer": issuer, "listen": "127.0.0.1:0", "database": "gatehouse.db", "clients_dir": "clients.d", "keys_dir": "keys",
		"directory": map[string]any{
			"url": []string{people.URL}, "bind_dn": people.ServiceDN, "bind_password": people.ServicePassword, "base_dn": people.BaseDN,
		},
	})
	write(filepath.Join("clients.d", demoTV+".yaml"), map[string]any{
		"client_id": demoTV, "client_name": "Television", "token_endpoint_auth_method": "none",
		"grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code"},
		"scopes":      map[string]any{"everyone": []string{"openid", "profile"}},
	})
	for _, app := range all {
		secret, hash := clients.NewSecret()
		app.secret = secret
		settings := map[string]any{
			"client_id": app.id, "client_name": app.title, "client_secret_hash": hash,
			"redirect_uris": []string{apps + "/" + app.id + "/callback"}, "grant_types": []string{"authorization_code", "refresh_token"},
			"client_uri": apps + "/" + app.id + "/", "policy_uri": apps + "/" + app.id + "/", "tos_uri": apps + "/" + app.id + "/",
		}
		for key, value := range app.client {
			settings[key] = value
		}
		write(filepath.Join("clients.d", app.id+".yaml"), settings)
	}
	if err != nil {
		return "", fmt.Errorf("write the demonstration's configuration: %w", err)
	}
	return filepath.Join(dir, "gatehouse.yaml"), nil
}

// appHandler serves the applications and the television, each below a path of its own.
func (d *demo) appHandler(ctx context.Context, issuer, apps string, all []*demoApp) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/"+all[0].id+"/", http.StatusSeeOther))
	mux.Handle("/"+demoTV+"/", newDemoTV(ctx, demoTVOptions{
		Title: "Television", Issuer: issuer, ClientID: demoTV, BaseURL: apps + "/" + demoTV, Log: d.log,
	}))
	for i, app := range all {
		options := demoAppOptions{
			Title: app.title, Intro: app.intro, Issuer: issuer, ClientID: app.id, ClientSecret: app.secret, BaseURL: apps + "/" + app.id,
			Now: d.now, Log: d.log,
		}
		for _, p := range demodir.Accounts() {
			options.People = append(options.People, demoAppPerson(p))
		}
		other := all[(i+1)%len(all)]
		options.Others = append(options.Others, demoAppLink{Name: other.title, URL: apps + "/" + other.id + "/"})
		handler := newDemoApp(options)
		mux.Handle("/"+app.id+"/", handler)
		if i == 0 {
			mux.Handle("/", handler) // which says that there is nothing
		}
	}
	return mux
}

// tell says where to click, and with which accounts.
func (d *demo) tell(issuer, apps string, people *demodir.Server, all []*demoApp) {
	fmt.Fprint(d.out, "\nThe demonstration is ready. Open one of these in a browser:\n\n")
	columns := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for _, app := range all {
		fmt.Fprintf(columns, "  %s/%s/\t%s: %s\n", apps, app.id, app.title, app.show)
	}
	fmt.Fprintf(columns, "  %s/%s/\tTelevision: a device without a keyboard; people sign in to it with another one\n", apps, demoTV)
	_ = columns.Flush() // to the terminal
	fmt.Fprint(d.out, "\nand sign in as one of these people:\n\n")
	fmt.Fprint(columns, "  User name\tPassword\tName\tWho that is\n")
	for _, a := range demodir.Accounts() {
		fmt.Fprintf(columns, "  %s\t%s\t%s\t%s\n", a.Username, a.Password, a.Name, a.Shows)
	}
	_ = columns.Flush() // to the terminal
	fmt.Fprintf(d.out, "\nGatehouse is the provider: %s/.well-known/openid-configuration\n", issuer)
	fmt.Fprintf(d.out, "A look into its directory: ldapsearch -x -H %s -D '%s' -w %s -b %s uid=amelie '*' memberOf\n",
		people.URL, people.ServiceDN, people.ServicePassword, people.BaseDN)
	fmt.Fprint(d.out, "Stop with Ctrl-C: everything is then gone. What happens meanwhile:\n\n")
}

// eventful passes the log on without the line that each request has: it would push
// what tell says off the screen.
type eventful struct{ slog.Handler }

// Handle passes a record on unless it is of a request that went well.
func (e eventful) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "request" && r.Level < slog.LevelWarn {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}
