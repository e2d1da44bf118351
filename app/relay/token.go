package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"earshot/server/setting"
	"earshot/server/token"
)

type tokenCommand struct {
	Stream string           `arg:"" help:"The stream's name."`
	For    setting.Validity `default:"24h" placeholder:"TIME" help:"How long it is good: 30m, 24h, 15d … (${default})."`
	Name   string           `default:"program" placeholder:"NAME" help:"Who publishes with it (${default}): who has another name can't take the stream over."`
}

func (t *tokenCommand) Run(c *console) error {
	config, err := readConfig(c.config)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range config.Streams {
		names = append(names, s.Name)
		if s.Name != t.Stream {
			continue
		}
		for _, k := range s.keys {
			if k.Name != secretKey {
				continue
			}
			raw, err := token.SignSecret(k.Key.([]byte), token.Grant{
				Audience: s.url, Scope: token.ScopePublish, Name: t.Name, For: time.Duration(t.For),
			}, time.Now())
			if err == nil {
				_, err = fmt.Fprintln(c.out, raw)
			}
			return err
		}
		return errors.New("this stream has no shared secret: give it a secret in the config file, or on the laptop: earshot token --publish " + s.url)
	}
	return &usageError{fmt.Errorf("there is no stream %q: use %s", t.Stream, strings.Join(names, " or "))}
}
