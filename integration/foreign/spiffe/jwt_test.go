package spiffe

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
)

type jwtSvid struct {
	Svid       string    `json:"svid"`
	SpiffeID   string    `json:"spiffeId"`
	ExpireTime time.Time `json:"expireTime"`
}

func mintJwt(t *testing.T, credential string, audience ...string) jwtSvid {
	t.Helper()
	var minted jwtSvid
	mint(t, credential, "MintJwtSvid", map[string]any{"audience": audience}, &minted)
	return minted
}

func TestJwtSvidHolds(t *testing.T) {
	minted := mintJwt(t, env(t, "AGENT"), "invoices", "reports")
	for _, audience := range []string{"invoices", "reports"} {
		svid, err := jwtsvid.ParseAndValidate(minted.Svid, bundle(t), []string{audience})
		check(t, err)
		if svid.ID.String() != minted.SpiffeID || !svid.ID.MemberOf(trustDomain(t)) {
			t.Errorf("says %s, was minted for %s", svid.ID, minted.SpiffeID)
		}
		if !strings.HasPrefix(svid.ID.Path(), "/instance/inst_") {
			t.Errorf("path: %s", svid.ID.Path())
		}
		if !svid.Expiry.Equal(minted.ExpireTime) || time.Until(svid.Expiry) > 15*time.Minute {
			t.Errorf("expires %v, was minted until %v", svid.Expiry, minted.ExpireTime)
		}
	}
}

func TestJwtSvidOfSomebodyElseIsRefused(t *testing.T) {
	minted, bundle := mintJwt(t, env(t, "AGENT"), "invoices"), bundle(t)
	_, err := jwtsvid.ParseAndValidate(minted.Svid, bundle, []string{"search"})
	refused(t, err, "for another audience")

	other := jwtbundle.FromJWTAuthorities(spiffeid.RequireTrustDomainFromString("other.example"), bundle.JWTAuthorities())
	_, err = jwtsvid.ParseAndValidate(minted.Svid, other, []string{"invoices"})
	refused(t, err, "of another trust domain, even with the same keys")

	none := jwtbundle.New(trustDomain(t))
	_, err = jwtsvid.ParseAndValidate(minted.Svid, none, []string{"invoices"})
	refused(t, err, "signed with a key that is not in the bundle")

	// Two tokens' halves do not make a third one.
	parts, others := strings.Split(minted.Svid, "."), strings.Split(mintJwt(t, env(t, "TOOL"), "invoices").Svid, ".")
	_, err = jwtsvid.ParseAndValidate(others[0]+"."+others[1]+"."+parts[2], bundle, []string{"invoices"})
	refused(t, err, "a signature over something else")
}

func TestJwtSvidEnds(t *testing.T) {
	minted, bundle := mintJwt(t, env(t, "AGENT"), "invoices"), bundle(t)
	validate := func() error {
		_, err := jwtsvid.ParseAndValidate(minted.Svid, bundle, []string{"invoices"})
		return err
	}
	// In the bubble time passes at once. It begins there in 2000.
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(minted.ExpireTime) - time.Second)
		check(t, validate())
		// go-jose takes a minute of leeway.
		time.Sleep(time.Minute + 2*time.Second)
		refused(t, validate(), "expired")
	})
}

func TestCredentialIsNoJwtSvid(t *testing.T) {
	_, err := jwtsvid.ParseAndValidate(env(t, "AGENT"), bundle(t), []string{"countersign"})
	refused(t, err, "a credential in the place of a JWT-SVID")
}
