// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// front speaks the server's side of the native protocol for the library.
type front struct {
	engine *library
	spool  string // directory for what is inserted
	user   string // name, colon and password, "": any
	files  atomic.Uint64
	// headers are the answers to the descriptions of what is inserted into. No table
	// of ours ever changes.
	headers sync.Map
}

// serve answers connections until the listener is closed.
func (f *front) serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close() //nolint:errcheck // the client has all or went away
			if err := f.talk(conn); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				fmt.Fprintf(os.Stderr, "connection: %v\n", err)
			}
		}()
	}
}

// session is one connection.
type session struct {
	front    *front
	conn     *bufio.Writer
	r        *chproto.Reader
	revision int
	packed   bool // the client wants blocks compressed
	writer   *compress.Writer
}

// talk answers one client until it goes away, and says why it ends.
func (f *front) talk(conn net.Conn) error {
	s := &session{front: f, conn: bufio.NewWriter(conn), r: chproto.NewReader(conn), writer: compress.NewWriter(compress.LevelZero, compress.LZ4)}
	if err := s.hello(); err != nil {
		return err
	}
	for {
		code, err := s.r.UVarInt()
		if err != nil {
			return err
		}
		switch code {
		case proto.ClientPing:
			err = s.send(func(b *chproto.Buffer) error { b.PutByte(proto.ServerPong); return nil })
		case proto.ClientCancel: // what it is about is over
		case proto.ClientQuery:
			err = s.query()
		default:
			err = fmt.Errorf("unknown packet %d", code)
		}
		if err != nil {
			return err
		}
	}
}

// send sends what f writes.
func (s *session) send(f func(*chproto.Buffer) error) error {
	var b chproto.Buffer
	if err := f(&b); err != nil {
		return err
	}
	if _, err := s.conn.Write(b.Buf); err != nil {
		return err
	}
	return s.conn.Flush()
}

// fail sends an error.
func (s *session) fail(e *proto.Exception) error {
	return s.send(func(b *chproto.Buffer) error {
		b.PutByte(proto.ServerException)
		b.PutInt32(e.Code)
		b.PutString(e.Name)
		b.PutString(e.Message)
		b.PutString("")
		b.PutBool(false)
		return nil
	})
}

// hello agrees on the revision of the protocol.
func (s *session) hello() error {
	if code, err := s.r.UVarInt(); err != nil || code != proto.ClientHello {
		return errors.Join(errors.New("client does not say hello"), err)
	}
	var hello chproto.ClientHello
	if err := hello.Decode(s.r); err != nil {
		return err
	}
	if s.front.user != "" && hello.User+":"+hello.Password != s.front.user {
		return s.fail(&proto.Exception{Code: 516, Name: "DB::Exception", Message: hello.User + ": Authentication failed"})
	}
	s.revision = min(hello.ProtocolVersion, proto.DBMS_TCP_PROTOCOL_VERSION)
	err := s.send(func(b *chproto.Buffer) error {
		answer := chproto.ServerHello{Name: "ClickHouse", Major: 26, Minor: 7, Revision: s.revision, Timezone: "UTC", DisplayName: "libchdb"}
		answer.EncodeAware(b, s.revision)
		return nil
	})
	if err == nil && chproto.FeatureAddendum.In(s.revision) {
		_, err = s.r.Str() // the quota key
	}
	return err
}

// insertInto recognizes a statement whose rows come as blocks.
var insertInto = regexp.MustCompile(`(?is)^\s*INSERT\s+INTO\s+(\S+)\s*(\(.*\))\s*(?:FORMAT\s+Native|VALUES)\s*$`)

// query answers a statement. Only what breaks the connection is an error.
func (s *session) query() error {
	var q chproto.Query
	if err := q.DecodeAware(s.r, s.revision); err != nil {
		return err
	}
	s.packed = q.Compression == chproto.CompressionEnabled
	for { // tables that come with the query: none, which an empty block says
		block, err := s.receive()
		if err != nil {
			return err
		}
		if len(block.Columns) == 0 {
			break
		}
	}
	settings := make(map[string]string)
	for _, v := range q.Settings {
		settings[v.Key] = v.Value
	}
	var err error
	if m := insertInto.FindStringSubmatch(q.Body); m != nil {
		err = s.insert(m[1], m[2], settings)
	} else {
		err = s.answer(q.Body, settings)
	}
	if e, ok := errors.AsType[*proto.Exception](err); ok {
		return s.fail(e)
	}
	if err != nil {
		return err
	}
	return s.send(func(b *chproto.Buffer) error { b.PutByte(proto.ServerEndOfStream); return nil })
}

// answers recognizes statements that have an answer, if only an empty one.
var answers = regexp.MustCompile(`(?i)^\s*(SELECT|WITH)\b`)

// answer runs a statement and sends its answer.
func (s *session) answer(query string, settings map[string]string) error {
	out, err := s.front.engine.run(query, "Native", settings)
	if err != nil {
		return err
	}
	blocks, err := decode(out)
	if err != nil {
		return err
	}
	if len(blocks) == 0 && answers.MatchString(query) {
		header, err := s.header(query, settings, false)
		if err != nil {
			return err
		}
		blocks = []*proto.Block{header}
	}
	for _, block := range blocks {
		if err := s.block(block); err != nil {
			return err
		}
	}
	return nil
}

// header returns a block with the columns of the answer to a query, and no rows.
func (s *session) header(query string, settings map[string]string, insert bool) (*proto.Block, error) {
	out, ok := s.front.headers.Load(query)
	if !ok {
		var err error
		if out, err = s.front.engine.run("DESCRIBE TABLE ("+query+")", "Native", settings); err != nil {
			return nil, err
		}
		if insert {
			s.front.headers.Store(query, out)
		}
	}
	described, err := decode(out.([]byte))
	if err != nil {
		return nil, err
	}
	header := newBlock()
	for _, d := range described {
		for i := range d.Rows() {
			name, _ := d.Columns[0].Row(i, false).(string)
			kind, _ := d.Columns[1].Row(i, false).(string)
			if err := header.AddColumn(name, column.Type(kind)); err != nil {
				return nil, err
			}
		}
	}
	return header, nil
}

// newBlock returns an empty block.
func newBlock() *proto.Block {
	b := proto.NewBlock()
	b.ServerContext = &column.ServerContext{Revision: proto.DBMS_TCP_PROTOCOL_VERSION, VersionMajor: 26, VersionMinor: 7}
	return b
}

// decode reads the blocks of the format Native. It knows no revision: that is what
// a file of that format holds.
func decode(b []byte) ([]*proto.Block, error) {
	in := bufio.NewReader(bytes.NewReader(b))
	r := chproto.NewReader(in)
	var all []*proto.Block
	for {
		block := newBlock()
		err := block.Decode(r, 0)
		if errors.Is(err, io.EOF) && len(block.Columns) == 0 {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read an answer of libchdb: %w", err)
		}
		all = append(all, block)
	}
}

// block sends a block.
func (s *session) block(block *proto.Block) error {
	return s.send(func(b *chproto.Buffer) error {
		b.PutByte(proto.ServerData)
		b.PutString("")
		var body chproto.Buffer
		if err := s.encode(&body, block); err != nil {
			return err
		}
		if !s.packed {
			b.PutRaw(body.Buf)
			return nil
		}
		if err := s.writer.Compress(body.Buf); err != nil {
			return err
		}
		b.PutRaw(s.writer.Data)
		return nil
	})
}

// encode writes a block as a server does: columns without rows have no prefix,
// which those of the client's side always write.
func (s *session) encode(b *chproto.Buffer, block *proto.Block) error {
	if block.Rows() > 0 {
		return block.Encode(b, uint64(s.revision)) //nolint:gosec // not negative
	}
	chproto.Block{Info: chproto.BlockInfo{BucketNum: -1}, Columns: len(block.Columns)}.EncodeAware(b, s.revision)
	for _, c := range block.Columns {
		b.PutString(c.Name())
		b.PutString(string(c.Type()))
		if chproto.FeatureCustomSerialization.In(s.revision) {
			b.PutBool(false)
		}
	}
	return nil
}

// receive reads a packet with a block.
func (s *session) receive() (*proto.Block, error) {
	code, err := s.r.UVarInt()
	if err != nil {
		return nil, err
	}
	if code != proto.ClientData {
		return nil, fmt.Errorf("packet %d in place of data", code)
	}
	if _, err := s.r.Str(); err != nil { // name of a table
		return nil, err
	}
	if s.packed {
		s.r.EnableCompression()
		defer s.r.DisableCompression()
	}
	block := newBlock()
	return block, block.Decode(s.r, uint64(s.revision)) //nolint:gosec // not negative
}

// insert takes the rows of an insert. They go through a file, because the library
// cuts what stands behind a statement at certain bytes.
func (s *session) insert(table, columns string, settings map[string]string) error {
	header, err := s.header("SELECT "+strings.Trim(columns, "() ")+" FROM "+table, settings, true)
	if err != nil {
		return err
	}
	if err := s.block(header); err != nil {
		return err
	}
	path := filepath.Join(s.front.spool, fmt.Sprintf("%d.native", s.front.files.Add(1)))
	defer os.Remove(path) //nolint:errcheck // in the directory of the test
	var rows chproto.Buffer
	for {
		block, err := s.receive()
		if err != nil {
			return err
		}
		if len(block.Columns) == 0 {
			break
		}
		if err := block.Encode(&rows, 0); err != nil {
			return err
		}
	}
	if len(rows.Buf) == 0 {
		return nil
	}
	if err := os.WriteFile(path, rows.Buf, 0o600); err != nil {
		return err
	}
	_, err = s.front.engine.run("INSERT INTO "+table+" "+columns+" SELECT * FROM file("+quote(path)+", 'Native')", "Null", settings)
	return err
}
