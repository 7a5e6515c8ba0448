package lake

import (
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

const (
	pageWindow   = 1 << 20 // how far back the compression of a page looks: pages end at about 1 MB of values
	pageEncoders = 2       // files that are written at the same time: new rows and compaction
)

// codec is what arrow-go's own codecs can do.
type codec interface {
	compress.ErrorCodec
	compress.StreamingCodec
}

// pageCodec is arrow-go's zstd with encoders that are made once. Its own look back 4 MB, further than any page reaches, take
// 8 MB each for that, and are lost and made again with every other garbage collection.
type pageCodec struct {
	codec
	encoder *zstd.Encoder
}

// EncodeLevel implements compress.Codec. The level is that of the encoder: nothing else of this program writes pages.
func (c pageCodec) EncodeLevel(dst, src []byte, _ int) []byte {
	return c.encoder.EncodeAll(src, dst[:0])
}

func init() {
	theirs, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic("lake: arrow-go has no zstd: " + err.Error())
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(zstdLevel)), zstd.WithEncoderConcurrency(pageEncoders),
		zstd.WithWindowSize(pageWindow), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		panic("lake: zstd: " + err.Error())
	}
	compress.RegisterCodec(compress.Codecs.Zstd, pageCodec{theirs.(codec), encoder})
}
