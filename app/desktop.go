package main

import "context"

func (a *app) showTray(ctx context.Context) bool { return false }
