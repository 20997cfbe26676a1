// Package tlog reads our log's tiles, checkpoint and proofs with the libraries of others. TLOG_FOLDER names the folder
// that holds them (server/ledger/examples/tlog_folder.rs writes one), or the URL below which they are served; TLOG_KEY is the
// log's verifier key, if it is not in the file key there.
package tlog

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func read(path string) ([]byte, error) {
	base := os.Getenv("TLOG_FOLDER")
	if !strings.HasPrefix(base, "http") {
		return os.ReadFile(base + "/" + path)
	}
	response, err := http.Get(base + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func must(t *testing.T, path string) []byte {
	t.Helper()
	bytes, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func checkpoint(t *testing.T) *log.Checkpoint {
	t.Helper()
	key := os.Getenv("TLOG_KEY")
	if key == "" {
		key = string(must(t, "key"))
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, rest, _, err := log.ParseCheckpoint(must(t, "checkpoint"), verifier.Name(), verifier)
	if err != nil || len(rest) != 0 {
		t.Fatal(err, rest)
	}
	return checkpoint
}

// tileReader gives golang.org/x/mod's client our paths, which do not state the height of a tile.
type tileReader struct{}

func (tileReader) Height() int { return 8 }

func (tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for nth, tile := range tiles {
		bytes, err := read("tile/" + strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		data[nth] = bytes
	}
	return data, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func TestTilesAndEntriesHold(t *testing.T) {
	head := checkpoint(t)
	size := int64(head.Size)
	tree := tlog.Tree{N: size, Hash: tlog.Hash(head.Hash)}
	// The reader checks every tile against the root.
	hashes := tlog.TileHashReader(tree, tileReader{})
	for first := int64(0); first < size; first += 256 {
		path := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(min(256, size-first))}.Path()
		bundle := must(t, "tile/entries/"+strings.TrimPrefix(path, "tile/8/0/"))
		for index := first; index < min(first+256, size); index++ {
			length := int(binary.BigEndian.Uint16(bundle))
			entry := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			stored, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			if err != nil {
				t.Fatal(err)
			}
			if stored[0] != tlog.RecordHash(entry) {
				t.Fatalf("entry %d is not what its hash is of", index)
			}
		}
		if len(bundle) != 0 {
			t.Fatalf("bundle %d has %d bytes more", first/256, len(bundle))
		}
	}
}

func TestTheirProofsAreOurs(t *testing.T) {
	head := checkpoint(t)
	tree := tlog.Tree{N: int64(head.Size), Hash: tlog.Hash(head.Hash)}
	theirs, err := tlog.ProveTree(tree.N, max(1, tree.N/3), tlog.TileHashReader(tree, tileReader{}))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, hash := range theirs {
		lines = append(lines, hash.String())
	}
	if ours := string(must(t, "consistency")); ours != strings.Join(lines, "\n") {
		t.Errorf("consistency: ours\n%s\ntheirs\n%v", ours, lines)
	}
}

func TestInclusionProofHolds(t *testing.T) {
	head := checkpoint(t)
	text, _, _ := strings.Cut(string(must(t, "proof.tlog-proof")), "\n\n")
	lines := strings.Split(text, "\n")
	var index uint64
	if _, err := fmt.Sscanf(lines[1], "index %d", &index); err != nil || lines[0] != "c2sp.org/tlog-proof@v1" {
		t.Fatal(lines[:2], err)
	}
	var hashes [][]byte
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, hash)
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, "entry %d", index))
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, head.Size, leaf, hashes, head.Hash); err != nil {
		t.Error(err)
	}
}
