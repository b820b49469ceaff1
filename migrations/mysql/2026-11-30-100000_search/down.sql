DROP INDEX ix_product_search_texts_unindexed ON product_search_texts;
DROP TABLE IF EXISTS product_search_grams;
