"""The trigger that keeps a frozen plan as it is, whoever asks: a command, a shell, or somebody with psql."""

CREATE = """
CREATE FUNCTION holdfast_keep_frozen_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.frozen_at IS NULL THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'plan % is frozen and cannot be deleted', OLD.digest USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.experiment_id, NEW.version, NEW.body, NEW.digest, NEW.frozen_at)
        IS DISTINCT FROM (OLD.experiment_id, OLD.version, OLD.body, OLD.digest, OLD.frozen_at)
    THEN
        RAISE EXCEPTION 'plan % is frozen and cannot be changed', OLD.digest USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER holdfast_keep_frozen_plan BEFORE UPDATE OR DELETE ON experiments_plan
FOR EACH ROW EXECUTE FUNCTION holdfast_keep_frozen_plan();
"""

DROP = """
DROP TRIGGER holdfast_keep_frozen_plan ON experiments_plan;
DROP FUNCTION holdfast_keep_frozen_plan();
"""
