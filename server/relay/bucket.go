package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	bucketName = "earshot"

	// cutOff is how long a relay may be without news of what is withdrawn until
	// it admits nobody new by a link.
	cutOff = 15 * time.Second
	// beatEvery is how often a relay proves to itself that it has the news.
	beatEvery = 3 * time.Second
	// beatAgain is how soon it tries again where that failed.
	beatAgain = 500 * time.Millisecond
	// echoTimeout is how long its heartbeat may take to come back, and
	// writeWait how long to be stored.
	echoTimeout = 2 * time.Second
	writeWait   = 2 * time.Second
	openTimeout = 2 * time.Second
	// heartbeatKept is how long a relay's last heartbeat stays in the bucket.
	heartbeatKept = time.Minute

	// Where nothing is stored for storeLate, the server of a relay with a publisher
	// may be the one that can't reach the leader, and another may. It is as likely
	// an election, which takes 4 to 9 s (raft.go of nats-server), and then the
	// change was for nothing; but that costs milliseconds, and the lease lasts for
	// two attempts. A relay without a publisher has time until nearly cutOff, and
	// rather stays where it hears.
	storeLate  = 5 * time.Second
	storeLater = 10 * time.Second
	// elsewhereEvery is how often the server may be changed.
	elsewhereEvery = 5 * time.Second
)

// bucket is the key-value store that all relays share.
type bucket struct {
	jetstream.KeyValue
	created time.Time
}

// errStale says that the watch of the bucket has fallen silent.
var errStale = errors.New("changes of the bucket do not arrive")

// keep follows the bucket until ctx ends: it makes it if need be, takes in all
// that is there and each change, and proves by a heartbeat that nothing is
// missing. The heartbeat is a key of this relay's own in the same bucket. When
// its write is confirmed, most of the bucket's servers had it, so that it was no
// cut-off minority that took it; and when it comes back, all that was stored
// before it has come, since the server sends changes in their order. Only clock
// that matters is this relay's own monotonic one.
func (b *Bus) keep(ctx context.Context) {
	for ctx.Err() == nil {
		bk, err := b.openBucket(ctx)
		if err == nil {
			if old := b.bucket.Swap(bk); old != nil && !old.created.Equal(bk.created) {
				b.log.Error("the bucket in nats was deleted and made anew: streams begin anew, and what is withdrawn is stored again")
				for _, m := range b.members {
					m.forgetAll()
				}
			}
			err = b.follow(ctx, bk)
		}
		if ctx.Err() != nil {
			return
		}
		if b.nc.IsConnected() {
			b.limited.warn("nats stores nothing just now", err)
		}
		if b.storesNothing() {
			b.elsewhere("nothing was stored for long")
		}
		select {
		case <-ctx.Done():
		case <-b.seen:
		case <-time.After(beatAgain):
		}
	}
}

// storesNothing tells whether that has been so for too long.
func (b *Bus) storesNothing() bool {
	late := storeLater
	for _, m := range b.members {
		m.mu.Lock()
		if m.lease != nil {
			late = storeLate
		}
		m.mu.Unlock()
	}
	return b.now()-max(time.Duration(b.fresh.Load()), time.Duration(b.lastTry.Load())) > late
}

// openBucket returns the bucket, and makes it if it isn't there.
func (b *Bus) openBucket(ctx context.Context) (*bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	kv, err := b.js.KeyValue(ctx, bucketName)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		replicas := b.config.replicas()
		kv, err = b.js.CreateKeyValue(ctx, bucketConfig(replicas))
		if tooFew(err) {
			err = fmt.Errorf("%w: what must last shall be on %d servers: start them all, or set the relay's replicas to 1", err, replicas)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	bk := &bucket{KeyValue: kv}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		bk.created = s.StreamInfo().Created
	}
	return bk, nil
}

func bucketConfig(replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:         bucketName,
		Description:    "earshot-relay: who publishes, what is withdrawn",
		History:        1,
		Storage:        jetstream.FileStorage,
		Replicas:       replicas,
		MaxValueSize:   16 << 10,
		LimitMarkerTTL: time.Minute, // keys may have an end
	}
}

// tooFew tells whether a bucket can't be on as many servers as it shall.
func tooFew(err error) bool {
	const alone = 10074 // JSReplicasNotSupportedErr of nats-server
	api := new(jetstream.APIError)
	return errors.As(err, &api) && (api.Code == 400 || api.ErrorCode == alone)
}

// beat is a heartbeat that was stored.
type beat struct {
	revision uint64
	began    time.Duration
	err      error
}

// follow takes in the bucket until it can't.
func (b *Bus) follow(ctx context.Context, bk *bucket) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own := keyRelay + b.config.Name
	late := time.AfterFunc(openTimeout, cancel)
	w, err := bk.WatchFiltered(ctx, []string{keyStream + "*", keyWithdrawn + "*.*", own})
	if err != nil {
		return fmt.Errorf("watch bucket: %w", err)
	}
	// Its goroutine ends only once all is read that it has to say.
	defer drain(w)
	var puts sync.WaitGroup
	defer puts.Wait()
	defer cancel()
	if !late.Stop() {
		return errStale
	}

	beats := make(chan beat, 1) // one is under way at a time
	put := func() {
		began := b.now()
		ctx, cancel := context.WithTimeout(ctx, writeWait)
		defer cancel()
		ack, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + bucketName + "." + own}, jetstream.WithMsgTTL(heartbeatKept))
		if err != nil {
			beats <- beat{err: err}
			return
		}
		beats <- beat{revision: ack.Sequence, began: began}
	}
	puts.Go(put)
	next := time.NewTimer(time.Hour)
	defer next.Stop()
	var stored beat // that has not come back
	var echoed uint64
	back := func() {
		if stored.revision > 0 && echoed >= stored.revision {
			if time.Duration(b.fresh.Swap(int64(stored.began))) == 0 {
				b.log.Info("knows what is withdrawn")
			}
			stored.revision = 0
		}
	}
	waiting := true // for a heartbeat to be stored
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errStale
			case e == nil: // all that was there when the watch began
			case e.Key() == own:
				echoed = e.Revision()
				back()
			default:
				b.take(e)
			}
		case s := <-beats:
			waiting = false
			if s.err != nil {
				if errors.Is(s.err, jetstream.ErrStreamNotFound) || b.storesNothing() {
					return fmt.Errorf("store heartbeat: %w", s.err)
				}
				next.Reset(beatAgain)
				continue
			}
			stored = s
			back()
			next.Reset(min(beatEvery, echoTimeout))
			if stored.revision == 0 {
				next.Reset(beatEvery)
			}
		case <-b.seen:
			next.Reset(0)
		case <-next.C:
			if waiting {
				continue
			}
			if stored.revision > 0 {
				return errStale
			}
			waiting = true
			puts.Go(put)
		}
	}
}

// drain reads a watch out after its context has ended.
func drain(w jetstream.KeyWatcher) {
	_ = w.Stop()
	for range w.Updates() {
	}
}

// take takes in an entry of the bucket.
func (b *Bus) take(e jetstream.KeyValueEntry) {
	if name, ok := strings.CutPrefix(e.Key(), keyStream); ok {
		if m := b.members[name]; m != nil {
			m.stored(e)
		}
		return
	}
	rest, ok := strings.CutPrefix(e.Key(), keyWithdrawn)
	name, id, found := strings.Cut(rest, ".")
	m := b.members[name]
	if !ok || !found || m == nil {
		return
	}
	if e.Operation() != jetstream.KeyValuePut {
		m.withdrawn.lose(id)
		return
	}
	var w Withdrawal
	if json.Unmarshal(e.Value(), &w) != nil {
		b.stats.malformed.Add(1)
		return
	}
	m.withdraw(true, w)
}

// update stores what replaces the given revision of a key, 0 being none. The
// error errRevision says that another one is there.
func (bk *bucket) update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	now, err := bk.Update(ctx, key, value, revision)
	if changed(err) {
		return 0, errRevision
	}
	return now, err
}

var errRevision = errors.New("the key was changed by another")

// changed tells whether a write failed since the key has another revision than
// expected. A bucket with replicas says so by another code than one without.
func changed(err error) bool {
	apiErr := new(jetstream.APIError)
	return errors.As(err, &apiErr) && (apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) || errors.Is(err, jetstream.ErrKeyExists)
}
