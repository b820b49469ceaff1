DROP INDEX IF EXISTS ix_product_search_texts_unindexed;
DROP VIEW IF EXISTS product_search_grams;
DROP TABLE IF EXISTS product_search_index;
DROP TABLE IF EXISTS product_search_rows;
