package keys_test

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc/keys"
)

func policy() keys.Policy {
	return keys.Policy{RotateAfter: 48 * time.Hour, PublishBefore: time.Hour, KeepFor: 3 * time.Hour}
}

// copyOf is a JWKS as an application keeps it.
type copyOf struct {
	at   time.Time
	kids map[string]bool
	set  *keys.Set
}

func fetch(t *testing.T, ring *keys.Ring, at time.Time, last *copyOf, text *string) copyOf {
	t.Helper()
	jwks := string(ring.JWKS())
	if last != nil && jwks == *text {
		return copyOf{at, last.kids, last.set}
	}
	*text = jwks
	var document struct {
		Keys []struct{ Kid, Alg string }
	}
	if err := json.Unmarshal([]byte(jwks), &document); err != nil {
		t.Fatal(err)
	}
	set, err := keys.ParseSet([]byte(jwks))
	if err != nil {
		t.Fatal(err)
	}
	c := copyOf{at, map[string]bool{}, set}
	for _, k := range document.Keys {
		if k.Alg == keys.ES256 {
			c.kids[k.Kid] = true
		}
	}
	if len(c.kids) > 3 {
		t.Fatalf("%s: %d keys are published", at, len(c.kids))
	}
	return c
}

// Two servers share a folder through a week and three rotations. Whoever fetched
// the JWKS from either of them at any moment within the last max-age verifies every
// token that either has signed, until it expires.
func TestRotationByTimeHasNoGap(t *testing.T) {
	t.Parallel()
	const (
		maxAge  = 5 * time.Minute // Cache-Control of the JWKS
		life    = 3*time.Hour - 20*time.Minute
		step    = 4 * time.Minute
		lagging = 10 * time.Minute // the second server reads its files this seldom
	)
	days := 7
	if testing.Short() {
		days = 3
	}
	first, dir, now := open(t)
	second, err := keys.Load(dir, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	type issued struct {
		kid, token string
		expires    time.Time
	}
	nodes := []*keys.Ring{first, second}
	random := rand.New(rand.NewPCG(1, 2))
	var live []issued
	var copies [2][]copyOf
	var texts [2]string
	signed := map[string]int{}
	for range days * int(24*time.Hour/step) {
		at := now.Now()
		if _, err := nodes[random.IntN(2)].Tend(policy()); err != nil {
			t.Fatal(err)
		}
		for i, node := range nodes {
			if i == 0 || at.UnixNano()%int64(lagging) < int64(step) {
				if _, err := node.Reload(); err != nil {
					t.Fatal(err)
				}
			}
			var last *copyOf
			if n := len(copies[i]); n > 0 {
				last = &copies[i][n-1]
			}
			copies[i] = append(copies[i], fetch(t, node, at, last, &texts[i]))
			copies[i] = slices.DeleteFunc(copies[i], func(c copyOf) bool { return at.Sub(c.at) > maxAge })
		}
		token, err := nodes[random.IntN(2)].Sign(keys.ES256, "", map[string]any{"iat": at.Unix()})
		if err != nil {
			t.Fatal(err)
		}
		kid := headerOf(t, token).Kid
		signed[kid]++
		live = append(slices.DeleteFunc(live, func(i issued) bool { return !at.Before(i.expires) }), issued{kid, token, at.Add(life)})
		for _, node := range copies {
			for _, c := range node {
				for _, token := range live {
					if !c.kids[token.kid] {
						t.Fatalf("%s: a JWKS fetched at %s lacks %s, whose token is good until %s", at, c.at, token.kid, token.expires)
					}
				}
				if _, _, err := c.set.Verify(live[0].token, []string{keys.ES256}); err != nil {
					t.Fatalf("%s: with a JWKS fetched at %s: %v", at, c.at, err)
				}
			}
		}
		now.Add(step)
	}
	if len(signed) != (days+1)/2 {
		t.Errorf("%d keys have signed: %v", len(signed), signed)
	}
	for _, node := range nodes {
		for _, k := range node.List() {
			if k.State == keys.StateInactive && now.Now().Sub(k.InactiveFrom) > policy().KeepFor+step {
				t.Errorf("%s is kept too long", k.Kid)
			}
		}
	}
}

func TestServersThatShareAFolderRotateOnce(t *testing.T) {
	t.Parallel()
	_, dir, now := open(t)
	now.Add(47 * time.Hour)
	var group sync.WaitGroup
	for range 8 {
		ring, err := keys.Load(dir, now.Now)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			if _, err := ring.Tend(policy()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if files, err := filepath.Glob(filepath.Join(dir, "*-*.json")); err != nil || len(files) != 4 {
		t.Errorf("the keys are %v, %v", files, err)
	}
}

func TestRotationByTimeTakesWhatTheOperatorHasMade(t *testing.T) {
	t.Parallel()
	ring, _, now := open(t)
	old := active(t, ring, keys.ES256)
	spare, err := ring.Create(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := ring.Tend(policy()); err != nil || len(done) != 0 {
		t.Errorf("too early: %v, %v", done, err)
	}
	now.Add(47 * time.Hour)
	done, err := ring.Tend(policy())
	if err != nil || len(done) != 2 || done[0].Kid != spare.Kid { // the other is RS256's
		t.Fatalf("%v, %v", done, err)
	}
	if got := active(t, ring, keys.ES256); got != old {
		t.Errorf("%s signs before its time", got)
	}
	if again, err := ring.Tend(policy()); err != nil || len(again) != 0 {
		t.Errorf("twice: %v, %v", again, err)
	}
	now.Add(time.Hour)
	if got := active(t, ring, keys.ES256); got != spare.Kid {
		t.Errorf("%s signs after its time", got)
	}
	now.Add(3 * time.Hour)
	if done, err = ring.Tend(policy()); err != nil || len(done) != 2 || !done[0].Retired || done[0].Kid != old {
		t.Errorf("%v, %v", done, err)
	}
	// A rotation by command counts: the next is due after it.
	if _, err := ring.RotateAfter(keys.ES256, 0); err != nil {
		t.Fatal(err)
	}
	now.Add(46 * time.Hour)
	if done, err = ring.Tend(policy()); err != nil || slices.ContainsFunc(done, func(d keys.Done) bool { return !d.Retired && d.Kid[:2] == "es" }) {
		t.Errorf("too early after a rotation by command: %v, %v", done, err)
	}
}

func TestAServerThatWasOffForLongGivesANewKeyItsTime(t *testing.T) {
	t.Parallel()
	ring, _, now := open(t)
	old := active(t, ring, keys.ES256)
	now.Add(400 * 24 * time.Hour)
	done, err := ring.Tend(policy())
	if err != nil || len(done) != 2 {
		t.Fatalf("%v, %v", done, err)
	}
	if got := done[0].ActiveFrom.Sub(now.Now()); got != time.Hour {
		t.Errorf("the new key signs after %s", got)
	}
	if got := active(t, ring, keys.ES256); got != old {
		t.Errorf("%s signs, which nobody has learnt", got)
	}
}

func TestWithoutAPolicyNothingHappens(t *testing.T) {
	t.Parallel()
	ring, _, now := open(t)
	now.Add(4000 * 24 * time.Hour)
	if done, err := ring.Tend(keys.Policy{}); err != nil || len(done) != 0 {
		t.Errorf("%v, %v", done, err)
	}
}

func active(t *testing.T, ring *keys.Ring, alg string) string {
	t.Helper()
	token, err := ring.Sign(alg, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	return headerOf(t, token).Kid
}

func headerOf(t *testing.T, token string) keys.Header {
	t.Helper()
	j, err := keys.ParseJWS(token)
	if err != nil {
		t.Fatal(err)
	}
	return j.Header
}

func TestUncommonKeysArePublishedForThoseWhoAsk(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	for _, alg := range []string{keys.EdDSA, "ES512", "ES384"} {
		if _, err := ring.Create(alg); err != nil {
			t.Fatal(err)
		}
	}
	algorithms := func() (algs []string) {
		var document struct {
			Keys []struct{ Alg string }
		}
		if err := json.Unmarshal(ring.JWKS(), &document); err != nil {
			t.Fatal(err)
		}
		for _, k := range document.Keys {
			algs = append(algs, k.Alg)
		}
		if !slices.Equal(slices.Compact(slices.Clone(algs)), ring.Algorithms()) {
			t.Errorf("%v are published, and %v said to be", algs, ring.Algorithms())
		}
		return algs
	}
	if got := algorithms(); len(got) != 5 {
		t.Errorf("before anybody is asked: %v", got)
	}
	ring.Publish([]string{"RS256", "none"})
	if got := algorithms(); !slices.Equal(got, []string{"ES256", "RS256", "ES384"}) {
		t.Errorf("while nobody asks: %v", got)
	}
	ring.Publish([]string{keys.EdDSA})
	if got := algorithms(); !slices.Equal(got, []string{"ES256", "RS256", "ES384", "EdDSA"}) {
		t.Errorf("while one asks for EdDSA: %v", got)
	}
	if _, err := ring.Sign("ES512", "", 1); err != nil {
		t.Fatal(err)
	}
	if got := algorithms(); len(got) != 5 {
		t.Errorf("after something was signed with ES512: %v", got)
	}
	if _, err := ring.Rotate(keys.ES256); err != nil { // a change of the folder forgets nothing
		t.Fatal(err)
	}
	if got := algorithms(); len(got) != 6 {
		t.Errorf("after a rotation: %v", got)
	}
	ring.Publish(nil)
	if got := algorithms(); len(got) != 6 {
		t.Errorf("a key is taken away from those who were shown it: %v", got)
	}
}
