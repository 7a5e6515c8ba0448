package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is the PostgreSQL database of one run. Its server has others.
type database struct {
	name   string
	url    string // for the program
	server string // URL of a database that is always there
}

// createDatabase makes an empty database whose name is made of the run's.
func createDatabase(ctx context.Context, server, run string) (*database, error) {
	if server == "" {
		return nil, errors.New("the plan wants PostgreSQL: say where it is with -postgres URL")
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	d := &database{name: "soak_" + strings.ReplaceAll(run, "-", "_"), server: server}
	u.Path = "/" + d.name
	d.url = u.String()
	return d, d.exec(ctx, "CREATE DATABASE "+d.quoted())
}

func (d *database) quoted() string { return pgx.Identifier{d.name}.Sanitize() }

// exec runs statements one after the other, none of them in a transaction.
func (d *database) exec(ctx context.Context, statements ...string) (err error) {
	conn, err := pgx.Connect(ctx, d.server)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, conn.Close(ctx)) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (d *database) terminate() string {
	return fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", d.name)
}

// disconnect ends all connections, whatever they are doing.
func (d *database) disconnect(ctx context.Context) error { return d.exec(ctx, d.terminate()) }

// close ends all connections and refuses new ones until open.
func (d *database) close(ctx context.Context) error {
	return d.exec(ctx, "ALTER DATABASE "+d.quoted()+" ALLOW_CONNECTIONS false", d.terminate())
}

func (d *database) open(ctx context.Context) error {
	return d.exec(ctx, "ALTER DATABASE "+d.quoted()+" ALLOW_CONNECTIONS true")
}

// dropLimit bounds how long the server may take to forget a database.
const dropLimit = 30 * time.Second

// drop is called at the end of a run, however it ended.
func (d *database) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropLimit)
	defer cancel()
	return d.exec(ctx, "DROP DATABASE IF EXISTS "+d.quoted()+" WITH (FORCE)")
}
