-- The search index: the pairs of adjacent characters of a search text as words (`xc6d0baa9`), as in MySQL. FTS5's own
-- trigrams find no word of two letters.
--
-- FTS5 keys its rows by a number. It stores the index alone, without the words' places.
CREATE TABLE IF NOT EXISTS product_search_rows (
  id INTEGER NOT NULL,
  product_id BLOB NOT NULL,
  CONSTRAINT pk_product_search_rows PRIMARY KEY (id),
  CONSTRAINT uq_product_search_rows_product UNIQUE (product_id)
) STRICT;
CREATE VIRTUAL TABLE IF NOT EXISTS product_search_index USING fts5 (
  grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

-- Both as one table, as in MySQL. It is written, not read.
CREATE VIEW IF NOT EXISTS product_search_grams AS SELECT product_id, '' AS grams FROM product_search_rows;
CREATE TRIGGER IF NOT EXISTS product_search_grams_insert INSTEAD OF INSERT ON product_search_grams BEGIN
  INSERT INTO product_search_rows (product_id) VALUES (NEW.product_id);
  INSERT INTO product_search_index (rowid, grams)
    SELECT id, NEW.grams FROM product_search_rows WHERE product_id = NEW.product_id;
END;
CREATE TRIGGER IF NOT EXISTS product_search_grams_delete INSTEAD OF DELETE ON product_search_grams BEGIN
  DELETE FROM product_search_index
    WHERE rowid = (SELECT id FROM product_search_rows WHERE product_id = OLD.product_id);
  DELETE FROM product_search_rows WHERE product_id = OLD.product_id;
END;

-- Finds the search texts that are not in the index: servers of 0.2 write them without the separator in front.
CREATE INDEX IF NOT EXISTS ix_product_search_texts_unindexed ON product_search_texts (product_id)
  WHERE search_text >= ' ';
