"""Triggers that let rows be added to the audit log and to the decisions, and never be changed or taken away."""

TABLES = ("experiments_auditentry", "experiments_decision")

CREATE = """
CREATE FUNCTION holdfast_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'check_violation';
END;
$$;
""" + "".join(
    f"""
CREATE TRIGGER holdfast_append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION holdfast_append_only();
CREATE TRIGGER holdfast_append_only_truncate BEFORE TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION holdfast_append_only();
"""
    for table in TABLES
)

DROP = (
    "".join(
        f"""
DROP TRIGGER holdfast_append_only ON {table};
DROP TRIGGER holdfast_append_only_truncate ON {table};
"""
        for table in TABLES
    )
    + "DROP FUNCTION holdfast_append_only();"
)
