"""Files to rows: decode, batch across files, embed, in bounded memory."""
