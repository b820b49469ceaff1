-- The search index: the pairs of adjacent characters of a search text as words (`xc6d0baa9`), in the built-in parser of
-- FULLTEXT, as MariaDB has no parser for n-grams and MySQL's drops some. A new table, as the first FULLTEXT index of an
-- existing one copies it.
CREATE TABLE IF NOT EXISTS product_search_grams (
  product_id BINARY(16) NOT NULL,
  grams MEDIUMTEXT NOT NULL COMMENT 'words, separated by blanks',
  CONSTRAINT pk_product_search_grams PRIMARY KEY (product_id),
  FULLTEXT INDEX ix_product_search_grams (grams)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Finds the search texts that are not in the index: servers of 0.2 write them without the separator in front. MySQL has
-- no IF NOT EXISTS for an index.
SET @jangteo_index = IF(
  EXISTS (
    SELECT 1 FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'product_search_texts'
      AND index_name = 'ix_product_search_texts_unindexed'
  ),
  'DO 0',
  'CREATE INDEX ix_product_search_texts_unindexed ON product_search_texts (search_text(1))'
);
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;
